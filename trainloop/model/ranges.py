"""Ids and labels in their range: arrays once, streams in every batch."""

import numpy as np
import tensorflow as tf

from kernels import checks
from trainloop.data import structures
from trainloop.model import bounds, cautions, lookups, targets
from trainloop.model.range_checks import RangeChecks

_BLOCK = 2**22  # most ids that are looked at in one go
# Ops whose value may differ from update to update for the same batch: an id
# that depends on one is checked in graph.
_MOVING = (
  "ReadVariableOp",
  "ResourceGather",
  "ResourceGatherNd",
  "PyFunc",
  "EagerPyFunc",
)
_TRACING = (ValueError, TypeError, RuntimeError, tf.errors.OpError)


class Ranges:
  """Says for a data source whether its batches must be looked at in graph.

  Args:
    objective: see `objective`; it does the forward pass.
    model: the built keras.Model.
    loss: the loss as the user gave it; None where targets are not known.
    output: the model's output for a batch; None without a known loss.

  Attributes:
    range_checks: the model's `RangeChecks`.
    cautions: lines about data and model that nobody was shown yet.
  """

  def __init__(self, objective, model, loss, output):
    self.range_checks = RangeChecks(model, loss)
    self._objective, self._layers = objective, self.range_checks.layers
    self._model, self._loss, self._output = model, loss, output
    self._ids, self.cautions, self._said = None, [], set()

  def check(self, name, source):
    """Refuses arrays that make ids beyond an Embedding's table; has
    `cautions` about targets and, the first time, outputs.

    Args:
      name: "data" or "validation".
      source: a data source.

    Raises:
      ValueError: naming input, value, range and example.
    """
    arrays = source.arrays
    self._be_careful(name, source, arrays is not None)
    if arrays is None or not self._layers:
      return
    if self._ids is None:
      self._ids = _Ids(self._objective, self._layers, source.example)
    self._ids.check(name, arrays)

  def _be_careful(self, name, source, whole):
    y = source.targets
    if self._output is None or self._loss is None or y is None:
      return
    pairs = targets.pairs(self._loss, y, self._model, self._output)
    lines = [] if self._said else cautions.of_model(self._model, pairs)
    self._said.add(None)
    lines += cautions.of_targets(name, pairs, whole)
    new = [line for line in dict.fromkeys(lines) if line not in self._said]
    self._said.update(new)
    self.cautions += new

  def show_cautions(self, show):
    """Gives each of the `cautions` to `show`, once."""
    for line in self.cautions:
      show(f"warning: {line}")
    self.cautions = []

  def watched(self, source):
    """Whether a source's batches must be looked at in graph."""
    if source.arrays is not None:
      return bool(self._layers) and self._ids.moves
    if self._layers:
      return True
    y, loss = source.targets, self._loss
    if loss is None:
      return False
    return targets.are_bounded(loss, y, self._model, self._output)


class _Ids:
  """What a model's Embeddings look up, as a function of a batch alone.

  The forward pass is traced, and of it only the way from inputs to ids runs.

  Attributes:
    moves: whether some ids depend on more than the batch (on weights, on
      random numbers), or can't be followed.
  """

  def __init__(self, objective, layers, example):
    self._lookups = []  # (Bound, names of the inputs) of each tensor of ids
    self._pruned, self.moves = None, False
    specs = structures.map_leaves(
      lambda leaf: tf.TensorSpec([None, *leaf.shape[1:]], leaf.dtype), example
    )
    observed = []

    def observe(layer, ids):
      observed.append((layer, ids))
      return ids

    def trace(*flat):
      objective.outputs(structures.pack(example, flat), training=False)
      return tf.zeros([])

    flat = structures.leaves(specs)
    try:
      with lookups.observed(layers, observe):
        traced = tf.compat.v1.wrap_function(trace, flat)
    except _TRACING:  # a model that must know its batch's size
      self.moves = True
      return
    self._prune(traced, observed, names(example))

  def _prune(self, traced, observed, named):
    fetches, inputs = [], traced.inputs[: len(named)]
    place = {id(one): name for one, name in zip(inputs, named, strict=True)}
    for layer, ids in observed:
      traceable = isinstance(ids, tf.Tensor) and ids.graph is traced.graph
      sources = _sources(ids, place) if traceable else None
      if sources is None:
        self.moves = True
      else:
        fetches.append(_before_casts(ids))
        self._lookups.append((lookups.bound(layer), sources))
    if fetches:
      self._pruned = traced.prune(inputs, fetches)

  def check(self, name, arrays):
    """See `Ranges.check`."""
    if self._pruned is None:
      return
    leaves = structures.leaves(arrays)
    count = len(leaves[0])
    widest = max(int(np.prod(leaf.shape[1:])) for leaf in leaves)
    size = max(1, _BLOCK // max(1, widest))
    for start in range(0, count, size):
      part = [tf.constant(leaf[start : start + size]) for leaf in leaves]
      for (bound, inputs), ids in zip(
        self._lookups, self._pruned(*part), strict=True
      ):
        _check(name, bound, inputs, ids.numpy(), start, len(part[0]))


def _check(name, bound, inputs, ids, start, count):
  """Refuses a block of ids; example `start` is its first."""
  if not ids.size or (ids.min() >= bound.low and ids.max() <= bound.high):
    return
  index = np.argwhere(~((ids >= bound.low) & (ids <= bound.high)))[0]
  where = " and ".join(f"`{one}`" for one in inputs) or "`x`"
  if name != "data":
    where = f"{where} of `{name}`"
  value = bounds.number(float(ids[tuple(index)]))
  example = ""
  if ids.ndim and len(ids) == count:
    example = f" in example {start + int(index[0])}"
  text = f"{where} must be {bound.rule}; got {value}{example}"
  raise checks.ArgumentError(text)


def names(batch):
  """["x", "y['a']", "x[0]", ...]: what the leaves of a batch are called."""
  leaves = []
  for name, part in zip(("x", "y", "sample_weight"), batch, strict=True):
    if isinstance(part, dict):  # in the order of tf.nest
      leaves += [f"{name}[{key!r}]" for key in sorted(part)]
    elif isinstance(part, (list, tuple)):
      leaves += [f"{name}[{i}]" for i in range(len(part))]
    elif part is not None:
      leaves.append(name)
  return leaves


def _sources(tensor, place):
  """Names of the inputs that a tensor is a function of, sorted.

  Args:
    tensor: a tensor in a graph.
    place: {id of an input tensor: its name}.

  Returns:
    A list; None if it depends on more than the inputs.
  """
  inputs, todo, observed = set(), [tensor], set()
  while todo:
    one = todo.pop()
    if id(one) in place:
      inputs.add(place[id(one)])
    if id(one) in observed or id(one) in place:
      continue
    observed.add(id(one))
    calls = any(source.dtype == tf.resource for source in one.op.inputs)
    random = "Random" in one.op.type
    if random or one.op.type in _MOVING or (calls and _calls(one.op)):
      return None
    todo.extend(one.op.inputs)
  return sorted(inputs)


def _before_casts(ids):
  """Ids before a cast, in which a large one could wrap into the range."""
  while ids.op.type in ("Cast", "Identity", "Reshape"):
    if not ids.op.inputs[0].dtype.is_integer:
      break
    ids = ids.op.inputs[0]
  return ids


def _calls(op):
  """Whether an op runs a function, which may read a variable."""
  return any(attr.type in ("func", "list(func)") for attr in op.op_def.attr)
