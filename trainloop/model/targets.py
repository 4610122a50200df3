"""Targets beside the outputs and losses that they are for."""

import re
import typing

import keras
import numpy as np
import tensorflow as tf

from kernels import checks
from trainloop.data import structures
from trainloop.model.bounds import Bound

_SPARSE = "sparse_categorical_crossentropy"
_BINARY = ("binary_crossentropy", "binary_focal_crossentropy")
_ONE_TO_ONE = (
  *_BINARY,
  "categorical_crossentropy",
  "categorical_focal_crossentropy",
  "categorical_hinge",
  "cosine_similarity",
  "mean_squared_error",
  "mean_absolute_error",
  "kl_divergence",
  "poisson",
  "huber",
  "log_cosh",
  "hinge",
  "squared_hinge",
)


# Losses that compare numbers one by one: what labels (examples,) mean beside an
# output (examples, 1) is not in doubt.
_ELEMENTWISE = (
  *_BINARY,
  "mean_squared_error",
  "mean_absolute_error",
  "mean_squared_logarithmic_error",
  "mean_absolute_percentage_error",
  "poisson",
  "huber",
  "log_cosh",
  "hinge",
  "squared_hinge",
)
# Where a word of a class' name ends, as in KLDivergence.
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def check(source, loss, model, output):
  """Refuses targets that the loss would broadcast or turn into NaN.

  Args:
    source: a data source.
    loss: the loss as the user gave it: one, or one an output.
    model: the built keras.Model.
    output: its output for a batch of the training data.

  Raises:
    ValueError: if shapes do not match, or labels are out of range.
  """
  several = isinstance(loss, (list, tuple)) and len(loss) > 1
  if several and hasattr(output, "shape"):
    rule = "one, as the model has one output: Keras would take the first alone"
    checks.fail("loss", f"{len(loss)} losses", rule)
  y = source.targets
  if y is None:
    if loss is not None:
      rule = "given, because there is a `loss`; for an autoencoder write "
      rule += "ArrayData(x, x, ...) or dataset.map(lambda x: (x, x))"
      checks.fail("y", None, rule)
    return
  for pair in pairs(loss, y, model, output):
    if not structures.is_composite(pair.target):  # left to Keras
      _check_pair(pair)


def bounded(loss, y, model, output, observe):
  """Targets of a batch in the ranges that their losses need; in graph.

  Args:
    loss, model, output: see `check`.
    y: the batch's targets.
    observe: see `bounds.RangeCheck`.

  Returns:
    The targets, those out of range clipped into it.
  """
  clipped = {}
  for pair in [] if y is None else pairs(loss, y, model, output):
    bound = _bound(pair)
    if bound is not None:
      ignored = getattr(pair.loss, "ignore_class", None)
      clipped[pair.key] = observe(bound, pair.target, ignored)
  return _with(y, clipped)


def expanded(loss, y, model, output):
  """Targets of a batch, (examples,) as (examples, 1) where `widens`; in graph.

  Args:
    loss, model, output: see `check`.
    y: the batch's targets, or None.
  """
  there = [] if y is None else pairs(loss, y, model, output)
  wide = {
    pair.key: tf.expand_dims(pair.target, -1) for pair in there if widens(pair)
  }
  return _with(y, wide)


def widens(pair):
  """Whether a target (examples,) stands for (examples, 1), as its output is
  that and its loss compares numbers one by one."""
  if structures.is_composite(pair.target):
    return False
  rank, shape = len(pair.target.shape), tuple(pair.output.shape)
  fits = rank == 1 and len(shape) == 2 and shape[1] == 1
  return fits and name_of(pair.loss) in _ELEMENTWISE


def _with(y, others):
  """Targets with others in place of some, by their keys."""
  if None in others:
    return others[None]
  if isinstance(y, dict):
    return {**y, **others}
  if isinstance(y, (list, tuple)):
    return type(y)(others.get(i, one) for i, one in enumerate(y))
  return y


def are_bounded(loss, y, model, output):
  """Whether there are targets that `bounded` would look at."""
  there = [] if y is None else pairs(loss, y, model, output)
  return any(_bound(pair) is not None for pair in there)


class Pair(typing.NamedTuple):
  """A target beside the output and the loss that it is for.

  Attributes:
    key: of the target among several: a name or a position; None for the one.
    loss: a Keras loss, its name or another callable.
    target: array or tensor.
    output: what the model gives for a batch.
  """

  key: typing.Any
  loss: typing.Any
  target: typing.Any
  output: typing.Any

  @property
  def where(self):
    """What the target is called in an error."""
    return "y" if self.key is None else f"y[{self.key!r}]"


def pairs(loss, y, model, output):
  """The `Pair`s of targets, as Keras makes them; those without a loss stay
  out.

  Raises:
    ValueError: if an output that has a loss has no target.
  """
  if hasattr(output, "shape"):
    single = not isinstance(loss, (dict, list, tuple)) and hasattr(y, "shape")
    return [Pair(None, loss, y, output)] if single else []
  names = list(output) if isinstance(output, dict) else None
  names = names or getattr(model, "output_names", None)
  outputs = list(output.values()) if isinstance(output, dict) else output
  if not names or len(names) != len(outputs):
    return []
  if isinstance(y, (list, tuple)) and len(y) == len(outputs):
    losses = [_loss_at(loss, i, name) for i, name in enumerate(names)]
    rows = zip(range(len(y)), losses, y, outputs, strict=True)
    return [Pair(*row) for row in rows if row[1] is not None]
  if not isinstance(y, dict):
    return []
  lost = [name for name in names if name not in y]
  if lost and _loss_of(loss, lost[0]) is not None:
    rule = f"a dict with a target for the output {lost[0]!r}"
    checks.fail("y", sorted(y), rule)
  return [
    Pair(name, _loss_of(loss, name), y[name], one)
    for name, one in zip(names, outputs, strict=True)
    if name in y and _loss_of(loss, name) is not None
  ]


def _loss_at(loss, i, name):
  """The loss of the i-th output."""
  if isinstance(loss, (list, tuple)):
    return loss[i] if i < len(loss) else None
  return _loss_of(loss, name)


def _loss_of(loss, name):
  if isinstance(loss, dict):
    return loss.get(name)
  return None if isinstance(loss, (list, tuple)) else loss


def name_of(loss):
  """The snake-case name of a Keras loss; "" for other callables."""
  if isinstance(loss, str):
    try:
      loss = keras.losses.get(loss)
    except ValueError:
      return ""
  function = loss if callable(loss) and hasattr(loss, "__name__") else None
  name = function.__name__ if function else type(loss).__name__
  return _WORDS.sub("_", name).lower()


def _bound(pair):
  """The `Bound` of a target's values; None without."""
  if structures.is_composite(pair.target):
    return None
  loss = name_of(pair.loss)
  if loss == _SPARSE:
    classes = pair.output.shape[-1]
    where = f"{classes} outputs{_which(pair)}"
    return None if classes is None else Bound("labels", where, 0, classes - 1)
  if loss in _BINARY:
    return Bound("labels", f"{loss}{_which(pair)}", 0, 1)
  return None


def _which(pair):
  return "" if pair.key is None else f" ({pair.where})"


def _check_pair(pair):
  """Checks one target against one output."""
  ignored = getattr(pair.loss, "ignore_class", None)
  where, loss = pair.where, name_of(pair.loss)
  y, shape = np.asarray(pair.target), tuple(pair.output.shape)
  if y.dtype.kind in "OSU" and loss in (_SPARSE, *_ONE_TO_ONE):
    rule = f"of numbers for {loss}; text by keras.layers.StringLookup"
    checks.fail(where, "text", rule)
  if loss == _SPARSE:
    _check_sparse(where, y, shape, ignored)
    return
  y = y[:, None] if widens(pair) else y
  sizes = (y.shape[1:], shape[1:])
  # An unknown loss would broadcast (B,) against (B, 1) without a word.
  broadcasts = sizes in (((), (1,)), ((1,), ()))
  if broadcasts or (loss in _ONE_TO_ONE and sizes[0] != sizes[1]):
    _refuse_shapes(where, y, shape, shape[1:])
  if loss in _BINARY:
    _check_range(where, y, 0, 1, f"labels in [0, 1] for {loss}")


def _check_sparse(where, y, shape, ignored):
  classes = shape[-1]
  if y.shape[1:] not in (shape[1:-1], (*shape[1:-1], 1)):
    _refuse_shapes(where, y, shape, shape[1:-1])
  y = y[y != ignored] if ignored is not None else y
  odd = y[y != np.floor(y)]
  if odd.size:
    checks.fail(where, odd.flat[0].item(), f"integer labels for {_SPARSE}")
  rule = f"labels in [0, {classes - 1}] for {classes} outputs"
  _check_range(where, y, 0, classes - 1, rule)


def _check_range(where, y, low, high, rule):
  bad = y[(y < low) | (y > high)]
  if bad.size:
    checks.fail(where, bad.flat[0].item(), rule)


def _refuse_shapes(where, y, shape, sizes):
  want, out = (
    ", ".join(["examples", *map(str, one)]) for one in (sizes, shape[1:])
  )
  rule = f"of shape ({want}) for an output of ({out})"
  if y.ndim == 1 and sizes == (1,):
    rule = f"{rule}, as y[:, None] is"
  checks.fail(where, y.shape, rule)
