"""Random numbers that XLA makes fast on a CPU.

Keras' random layers leave the algorithm to TensorFlow, which takes Philox on a
CPU. XLA compiles that into one scalar loop: 1.5 ms for the mask of a Dropout
of 64 x 64 numbers. ThreeFry becomes vector code, 10 us. Either is a function
of seed and position alone, so the result depends on no window's length.
"""

import contextlib
import functools

import tensorflow as tf

from trainloop.base import stand_ins

# What `keras.random` calls, and that function's parameter.
_FUNCTIONS = tuple(
  (stand_ins.StandIn(module, name), parameter)
  for module, name, parameter in (
    (tf.nn.experimental, "stateless_dropout", "rng_alg"),
    (tf.random, "stateless_uniform", "alg"),
    (tf.random, "stateless_normal", "alg"),
    (tf.random, "stateless_truncated_normal", "alg"),
  )
)


@contextlib.contextmanager
def vectorised():
  """A context in which functions are traced for XLA on a CPU.

  Random layers take ThreeFry inside it where they name no algorithm. The
  parameter is public, but Keras has no way to pass it on: for what belongs to
  this trace TensorFlow's functions have another default. What is traced or
  computed elsewhere meanwhile keeps the default it had.
  """
  here = stand_ins.of_this_graph()
  with contextlib.ExitStack() as stack:
    for stand_in, parameter in _FUNCTIONS:
      threefry = functools.partial(_threefry, stand_in.own, parameter)
      stack.enter_context(stand_in.used(threefry, here))
    yield


def _threefry(function, parameter, *args, **options):
  """The function, with ThreeFry as its default."""
  return function(*args, **{parameter: "threefry", **options})
