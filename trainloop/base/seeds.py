"""Seeds for the making of a model, which leave the process's own alone."""

import contextlib
import random
import threading

import numpy as np

# Nothing public reads the seeds of Keras and TensorFlow, or puts them back;
# `test_seeds.py` notices if these move.
from keras.src.backend.common import global_state as _keras
from tensorflow.python.eager import context as _tensorflow

_IN_KERAS = ("global_random_seed", "global_seed_generator")
# TensorFlow keeps the counters of eager random ops with their kernels, and
# gives a kernel by its seeds again: a second model of the same seed would go
# on where the first one ended. Only clearing all kernels helps, which starts
# the caller's counters over, too; so it is done only once such ops were seen.
_SEEN = {"eager ops": False}
# The generators are the process's: of two threads that put others in at once,
# each would draw from the other's, and put those back.
_lock = threading.RLock()  # a callable that makes a model may make a loop


class Seeds:
  """`random`, NumPy, TensorFlow and Keras as if seeded, for some time.

  Args:
    seed: int in [0, 2^32).
  """

  def __init__(self, seed):
    self._seed, self._inside = seed, None

  @contextlib.contextmanager
  def scope(self):
    """A context with seeded generators; the process's own come back after it.

    At first they are as `keras.utils.set_random_seed` leaves them, later as
    the previous context of this object left them.
    """
    with preserved():
      if self._inside is None:
        self._begin()
      else:
        _put(self._inside)
      before = _tensorflow.context()._rng.getstate()
      yield
      if before != _tensorflow.context()._rng.getstate():
        _SEEN["eager ops"] = True
      self._inside = _state()

  def _begin(self):
    random.seed(self._seed)
    np.random.seed(self._seed)
    for name, value in zip(_IN_KERAS, (self._seed, None), strict=True):
      _keras.set_global_attribute(name, value)
    context = _tensorflow.context()
    # What `tf.random.set_seed` does, save for clearing the kernels.
    context._seed, context._rng = self._seed, random.Random(self._seed)
    if _SEEN["eager ops"]:
      context.clear_kernel_cache()


def of_process():
  """What `keras.utils.set_random_seed` was given, int; None if nothing."""
  return _keras.get_global_attribute(_IN_KERAS[0])


@contextlib.contextmanager
def preserved():
  """A context after which the process's generators are as they were; one
  thread at a time."""
  with _lock:
    before = _state()
    try:
      yield
    finally:
      _put(before)


def _state():
  """All generators of the process, to be `_put` back."""
  context = _tensorflow.context()
  seeded = getattr(context, "_rng", None)
  return (
    random.getstate(),
    np.random.get_state(legacy=False),
    (context._seed, seeded, None if seeded is None else seeded.getstate()),
    [_keras.get_global_attribute(name) for name in _IN_KERAS],
  )


def _put(state):
  """Puts back what `_state` gave."""
  python, numpy, (seed, seeded, inner), in_keras = state
  random.setstate(python)
  np.random.set_state(numpy)
  context = _tensorflow.context()
  context._seed = seed
  if seeded is not None:
    seeded.setstate(inner)
    context._rng = seeded
  for name, value in zip(_IN_KERAS, in_keras, strict=True):
    _keras.set_global_attribute(name, value)
