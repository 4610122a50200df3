"""Ragged and sparse tensors, and models that take them."""

import keras
import numpy as np
import tensorflow as tf

import trainloop

N = 22  # a partial last batch of 6
Y = np.arange(N, dtype="float32")[:, None] / N


class Pool(keras.Model):
  """The mean of the numbers that a ragged row has."""

  def __init__(self):
    super().__init__()
    self.dense = keras.layers.Dense(1, kernel_initializer="ones")

  def call(self, x):
    return self.dense(tf.reduce_mean(x, axis=1))


def _linear():
  inputs = keras.Input((5,), sparse=True)
  dense = keras.layers.Dense(1, kernel_initializer="ones")
  return keras.Model(inputs, dense(inputs))


def _both():
  given = {"a": keras.Input((5,), sparse=True), "b": keras.Input((2,))}
  dense = keras.layers.Dense(1, kernel_initializer="ones")(given["a"])
  return keras.Model(given, dense + keras.layers.Dense(1)(given["b"]))


def _sparse():
  return tf.sparse.from_dense(np.eye(N, 5, dtype="float32"))


def _ragged():
  rows = [[[1.0, i]] * (1 + i % 4) for i in range(N)]
  return tf.ragged.constant(rows, ragged_rank=1)


# What it is: (how its model is made, how its features are).
CASES = {
  "ragged": (Pool, _ragged),
  "sparse": (_linear, _sparse),
  "a dict of both kinds": (
    _both,
    lambda: {"a": _sparse(), "b": np.ones((N, 2), "float32")},
  ),
}


def data_of(make, weights=False):
  """A dataset of a case's features, its targets and perhaps weights."""
  parts = (make(), Y, Y[:, 0] + 0.5) if weights else (make(), Y)
  return tf.data.Dataset.from_tensor_slices(parts).batch(8)


def made(make):
  """A model by its function, from one seed."""
  keras.utils.set_random_seed(0)
  return make()


def loop_of(net, strategy=None, **options):
  """A loop of a case's model."""
  return trainloop.TrainLoop(
    lambda: made(net),
    lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "mse",
    strategy=strategy,
    verbose=False,
    **options,
  )
