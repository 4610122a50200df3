"""What the Embedding layers of a model look up, seen while it is traced."""

import contextlib
import threading

import keras
import tensorflow as tf

from kernels import checks
from trainloop.model import bounds
from trainloop.model.bounds import Bound

_lock = threading.Lock()
_here = threading.local()  # the function that sees, of this thread
_hooks = {}  # by id of a layer that is hooked: [layer, how many want it]


def embeddings(model):
  """All Embedding layers inside a model, however deep.

  `Model.layers` leaves out what is inside a layer of one's own; Keras has no
  public way there.
  """
  return [
    layer
    for layer in model._flatten_layers()
    if isinstance(layer, keras.layers.Embedding)
  ]


def bound(layer):
  """The `Bound` of an Embedding's ids."""
  where = f"the Embedding {layer.name!r}, a table of {layer.input_dim} rows"
  return Bound("ids", where, 0, layer.input_dim - 1)


@contextlib.contextmanager
def observed(layers, observe):
  """A context in which `observe` is called with the ids of each lookup.

  Replicas are traced in threads that take turns: each has its own `observe`,
  and a layer stays hooked until the last of them is done.

  Args:
    layers: Embedding layers.
    observe: a function of (layer, ids) that gives the ids to look up.
  """
  before, _here.observe = getattr(_here, "observe", None), observe
  for layer in layers:
    _hook(layer)
  try:
    yield
  finally:
    for layer in layers:
      _unhook(layer)
    _here.observe = before


@contextlib.contextmanager
def checked(model):
  """A context in which a model that runs eagerly must have ids in range.

  Raises:
    ValueError: at its end, as Keras would wrap what a layer raises.
  """
  refused = []

  def observe(layer, ids):
    limits = bound(layer)
    if not isinstance(ids, tf.Tensor) or not tf.executing_eagerly():
      return ids
    values = ids.numpy()
    bad = values[~((values >= limits.low) & (values <= limits.high))]
    if not bad.size:
      return ids
    value = bounds.number(float(bad.flat[0]))
    refused.append(f"`x` must be {limits.rule}; got {value}")
    return tf.convert_to_tensor(values.clip(limits.low, limits.high))

  with observed(embeddings(model), observe):
    yield
  if refused:
    raise checks.ArgumentError(refused[0])


def _hook(layer):
  with _lock:
    if id(layer) in _hooks:
      _hooks[id(layer)][1] += 1
      return
    _hooks[id(layer)] = [layer, 1]
    own = layer.call

    def call(inputs, *args, **kwargs):
      observe = getattr(_here, "observe", None)
      reads = not (kwargs.get("reverse") or (args and args[0]))
      if (
        observe is not None
        and reads
        and not keras.backend.is_keras_tensor(inputs)
      ):
        inputs = observe(layer, _ids(inputs))
      return own(inputs, *args, **kwargs)

    layer.__dict__["call"] = call


def _unhook(layer):
  with _lock:
    _hooks[id(layer)][1] -= 1
    if not _hooks[id(layer)][1]:
      del _hooks[id(layer)], layer.__dict__["call"]


def _ids(inputs):
  """Inputs as ids: whole numbers, as the layer makes them."""
  if isinstance(inputs, (tf.RaggedTensor, tf.SparseTensor)):
    return inputs
  ids = tf.convert_to_tensor(inputs)
  if not ids.dtype.is_floating:
    return ids
  return tf.where(ids < 0, tf.math.ceil(ids), tf.math.floor(ids))
