"""Random numbers that XLA makes fast on a CPU.

Keras' random layers leave the algorithm to TensorFlow, which takes Philox on a
CPU. XLA compiles that into one scalar loop: 1.5 ms for the mask of a Dropout
of 64 x 64 numbers. ThreeFry becomes vector code, 10 us. Either is a function
of seed and position alone, so the result depends on no window's length.
"""

import contextlib
import functools
from unittest import mock

import tensorflow as tf

# (module, function, its parameter): what `keras.random` calls.
_FUNCTIONS = (
  (tf.nn.experimental, "stateless_dropout", "rng_alg"),
  (tf.random, "stateless_uniform", "alg"),
  (tf.random, "stateless_normal", "alg"),
  (tf.random, "stateless_truncated_normal", "alg"),
)


def vectorised():
  """A context in which functions are traced for XLA on a CPU.

  Random layers take ThreeFry inside it where they name no algorithm. The
  parameter is public, but Keras has no way to pass it on: TensorFlow's
  functions are replaced by themselves with another default while one trace
  lasts.
  """
  stack = contextlib.ExitStack()
  for module, name, parameter in _FUNCTIONS:
    traced = _traced(getattr(module, name), parameter)
    stack.enter_context(mock.patch.object(module, name, traced))
  return stack


def _traced(function, parameter):
  """The function; where it is traced, with ThreeFry as its default. What
  other threads compute meanwhile keeps the default it had."""

  @functools.wraps(function)
  def call(*args, **kwargs):
    if not tf.executing_eagerly():
      kwargs = {parameter: "threefry", **kwargs}
    return function(*args, **kwargs)

  return call
