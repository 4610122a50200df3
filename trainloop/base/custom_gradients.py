"""Custom gradients that go when their graph goes.

Each trace of a function with a gradient of its own (`tf.custom_gradient`, as in
TensorFlow's `tf.nn.silu` and `ReplicaContext.all_reduce`) puts this gradient
into TensorFlow's registry for good, and with it the traced graph, the bodies of
its loops, and what the runtime keeps of them.
"""

import contextlib
import inspect
import weakref

import tensorflow as tf

# Private: nothing public takes an entry out again, or says which graph it is
# of. `test_memory.py` notices if they move.
from tensorflow.python.framework import ops as _ops

_NAME = "CustomGradient-"


@contextlib.contextmanager
def released():
  """A context manager or decorator that limits the life of custom gradients.

  Those that are registered inside live as long as the graph that they were
  traced in.
  """
  entries = _ops.gradient_registry._registry
  before = set(entries)
  try:
    yield
  finally:
    for name in list(entries):
      if name.startswith(_NAME) and name not in before:
        _release(entries, name)


def _release(entries, name):
  """Lets a gradient's graph own it; the registry keeps a weak reference."""
  entry = entries.get(name)  # None: another thread's, whose graph has gone
  if entry is None:
    return
  gradient = entry["type"]
  graph = None if isinstance(gradient, _Lookup) else _graph(gradient)
  if graph is None:
    return
  graph._custom_gradients = [*getattr(graph, "_custom_gradients", ()), gradient]
  gone = weakref.ref(gradient, lambda _: entries.pop(name, None))
  entry["type"] = _Lookup(gone)


class _Lookup:
  """A gradient as the registry has it.

  Args:
    reference: a weak one to the function.
  """

  def __init__(self, reference):
    self._reference = reference

  def __call__(self, op, *gradients):
    return self._reference()(op, *gradients)


def _graph(gradient):
  """The graph of the tensors that a gradient is of; None for none."""
  inner = inspect.getclosurevars(gradient).nonlocals.get("tape_grad_fn")
  if inner is None:
    return None
  result = inspect.getclosurevars(inner).nonlocals.get("result")
  tensors = tf.nest.flatten(result, expand_composites=True)
  graphs = (getattr(one, "graph", None) for one in tensors)
  return next((one for one in graphs if one is not None), None)
