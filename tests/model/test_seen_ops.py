"""The ops that run eagerly are seen, and only those."""

import contextlib

import keras
import tensorflow as tf

from trainloop.model import seen_ops


def test_ops_of_layers_and_of_gradients():
  net = keras.Sequential(
    [
      keras.layers.Input((4, 4, 1)),
      keras.layers.Conv2D(2, 3),
      keras.layers.Flatten(),
      keras.layers.Dense(3),
    ]
  )
  names = set()
  with seen_ops.into(names), tf.GradientTape() as tape:
    loss = tf.reduce_sum(net(tf.ones((2, 4, 4, 1))))
  assert {"Conv2D", "MatMul", "Sum"} <= names
  assert "Conv2DBackpropFilter" not in names
  with seen_ops.into(names):
    tape.gradient(loss, [v.value for v in net.trainable_variables])
  assert "Conv2DBackpropFilter" in names


def test_nothing_is_seen_behind_it():
  names = set()
  with contextlib.suppress(KeyError), seen_ops.into(names):
    raise KeyError
  tf.matmul(tf.ones((1, 2)), tf.ones((2, 1)))
  assert names == set()
