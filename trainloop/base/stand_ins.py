"""Functions of other libraries, with another in their place for one caller.

TensorFlow and Keras look these up by name in a module. While a replacement is
in use, a dispatcher has that name: it calls the replacement for the callers
that it is meant for, and the library's function for all others. When the last
use ends, in whatever order, the module has its own function again.
"""

import contextlib
import functools
import threading

import tensorflow as tf


class StandIn:
  """One function of a module, and what stands in for it now.

  Args:
    module: where it is looked up.
    name: its name there.
  """

  def __init__(self, module, name):
    self._module, self._name = module, name
    self._lock, self._uses = threading.Lock(), ()
    self._own = self._asking = None

  @property
  def own(self):
    """The library's function, whatever stands in for it."""
    with self._lock:
      return self._own if self._uses else getattr(self._module, self._name)

  @contextlib.contextmanager
  def used(self, function, here):
    """A context in which a function stands in for some callers.

    Args:
      function: what they get.
      here: a function without arguments, whether a call is one of theirs; of
        several that say so the last one counts.
    """
    use = function, here
    with self._lock:
      if not self._uses:
        self._begin()
      self._uses = (*self._uses, use)
    try:
      yield
    finally:
      with self._lock:
        self._uses = tuple(one for one in self._uses if one is not use)
        if not self._uses:
          self._end()

  def _begin(self):
    own = self._own = getattr(self._module, self._name)

    @functools.wraps(own)
    def asking(*args, **options):
      for function, here in reversed(self._uses):
        if here():
          return function(*args, **options)
      return own(*args, **options)

    self._asking = asking
    setattr(self._module, self._name, asking)

  def _end(self):
    # What somebody else has put there since is theirs to take away.
    if getattr(self._module, self._name) is self._asking:
      setattr(self._module, self._name, self._own)


def of_this_thread():
  """A function that says whether the thread that calls it is this one."""
  me = threading.get_ident()
  return lambda: threading.get_ident() == me


def of_this_graph():
  """A function that says whether what calls it is traced inside the graph that
  is traced now, by whatever thread: replicas have their own."""
  graph = tf.compat.v1.get_default_graph()

  def here():
    if tf.executing_eagerly():
      return False
    traced = tf.compat.v1.get_default_graph()
    while traced is not None and traced is not graph:
      traced = getattr(traced, "outer_graph", None)
    return traced is graph

  return here
