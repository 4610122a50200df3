"""Random layers under XLA: the algorithm, and what comes out."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernels
from support import small
from trainloop.compiled import fast_random

DRAWS = {
  "dropout": lambda s: keras.random.dropout(tf.ones([40, 50]), 0.3, seed=s),
  "uniform": lambda s: keras.random.uniform([40, 50], seed=s),
  "normal": lambda s: keras.random.normal([40, 50], seed=s),
  "truncated": lambda s: keras.random.truncated_normal([40, 50], seed=s),
}


THREEFRY, AUTO = 2, 3


def algorithm(draw):
  concrete = tf.function(lambda: draw(3)).get_concrete_function()
  (found,) = [
    tf.get_static_value(op.inputs[-1])
    for op in concrete.graph.get_operations()
    if op.type.startswith("Stateless") and op.type.endswith("V2")
  ]
  return int(found)


@pytest.mark.parametrize("name", DRAWS)
def test_keras_gets_another_algorithm_only_inside(name):
  """Notices when Keras draws by functions that `vectorised` does not know."""
  with fast_random.vectorised():
    assert algorithm(DRAWS[name]) == THREEFRY
  assert algorithm(DRAWS[name]) == AUTO


def test_dropout_in_xla_keeps_its_rate():
  layer = keras.layers.Dropout(0.3, seed=1)

  @tf.function(jit_compile=True)
  def masks():
    with fast_random.vectorised():
      return [layer(tf.ones([100, 200]), training=True) for _ in range(3)]

  found = [mask.numpy() for mask in masks()]
  for mask in found:
    kept = mask > 0
    assert abs(kept.mean() - 0.7) < 0.01
    np.testing.assert_allclose(mask[kept], 1 / 0.7, rtol=1e-6)
  assert (found[0] != found[1]).any() and (found[1] != found[2]).any()


def test_dropout_goes_to_xla_and_no_window_matters():
  states = set()
  for steps_per_loop in (1, 5, "auto"):
    loop = small.loop(
      small.model(rich=True),
      schedule=kernels.OneCycle(0.1, 24),
      steps_per_loop=steps_per_loop,
    )
    loop.fit(small.data(), 2)
    assert loop.engine.name == "xla"
    states.add(small.state_of(loop))
  assert len(states) == 1
