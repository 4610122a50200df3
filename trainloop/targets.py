"""Targets beside the outputs and losses that they are for."""

import keras
import numpy as np

from kernels import checks

_SPARSE = "sparse_categorical_crossentropy"
_BINARY = "binary_crossentropy"
_ONE_TO_ONE = (
  _BINARY,
  "binary_focal_crossentropy",
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
  y = source.targets
  if y is None:
    if loss is not None:
      checks.fail("y", None, "given, because there is a `loss`")
    return
  for where, one_loss, target, one_output in _pairs(loss, y, model, output):
    _check_pair(where, one_loss, np.asarray(target), one_output.shape)


def _pairs(loss, y, model, output):
  """[(name of the target, loss, target, output)], as Keras pairs them."""
  if hasattr(output, "shape"):
    single = not isinstance(loss, (dict, list, tuple)) and hasattr(y, "shape")
    return [("y", loss, y, output)] if single else []
  names = list(output) if isinstance(output, dict) else None
  names = names or getattr(model, "output_names", None)
  outputs = list(output.values()) if isinstance(output, dict) else output
  if not isinstance(y, dict) or not names or len(names) != len(outputs):
    return []  # paired by position: left to Keras
  lost = [name for name in names if name not in y]
  if lost and _loss_of(loss, lost[0]) is not None:
    rule = f"a dict with a target for the output {lost[0]!r}"
    checks.fail("y", sorted(y), rule)
  return [
    (f"y[{name!r}]", _loss_of(loss, name), y[name], one)
    for name, one in zip(names, outputs, strict=True)
    if name in y and _loss_of(loss, name) is not None
  ]


def _loss_of(loss, name):
  if isinstance(loss, dict):
    return loss.get(name)
  return None if isinstance(loss, (list, tuple)) else loss


def _name(loss):
  """The snake-case name of a Keras loss; "" for other callables."""
  if isinstance(loss, str):
    try:
      loss = keras.losses.get(loss)
    except ValueError:
      return ""
  function = loss if callable(loss) and hasattr(loss, "__name__") else None
  name = function.__name__ if function else type(loss).__name__
  snake = "".join("_" + c.lower() if c.isupper() else c for c in name)
  return snake.lstrip("_")


def _check_pair(where, loss, y, shape):
  """Checks one target against one output; `where` names it."""
  ignored = getattr(loss, "ignore_class", None)
  loss, shape = _name(loss), tuple(shape)
  if y.dtype.kind in "OSU" and loss in (_SPARSE, *_ONE_TO_ONE):
    rule = f"of numbers for {loss}; text by keras.layers.StringLookup"
    checks.fail(where, "text", rule)
  if loss == _SPARSE:
    _check_sparse(where, y, shape, ignored)
    return
  pair = (y.shape[1:], shape[1:])
  # An unknown loss would broadcast (B,) against (B, 1) without a word.
  broadcasts = pair in (((), (1,)), ((1,), ()))
  if broadcasts or (loss in _ONE_TO_ONE and pair[0] != pair[1]):
    _refuse_shapes(where, y, shape, shape[1:])
  if loss == _BINARY:
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


def _refuse_shapes(where, y, shape, wanted):
  want, out = (
    ", ".join(["examples", *map(str, sizes)]) for sizes in (wanted, shape[1:])
  )
  checks.fail(where, y.shape, f"of shape ({want}) for an output of ({out})")
