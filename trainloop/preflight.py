"""Checks on data, model and loss before step 1."""

import os
import re
import tempfile

import keras
import numpy as np
import tensorflow as tf

from kernels import checks
from trainloop import distribution, evaluation, structures

_SPARSE = "sparse_categorical_crossentropy"
_BINARY = "binary_crossentropy"
_KERAS_ERRORS = (
  ValueError,
  TypeError,
  AttributeError,
  tf.errors.InvalidArgumentError,
)
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


def build(model, strategy, source, loss):
  """Builds an unbuilt model and its metrics on one small batch.

  Args:
    model: a compiled keras.Model.
    strategy: the strategy it was made under.
    source: the first data source that comes.
    loss: the loss as the user gave it: one, or one an output.

  Returns:
    (output, names): the model's output for the batch on replica 0, and the
    names of its metrics, "loss" first.

  Raises:
    ValueError: if the model can't be trained on the batch.
  """
  batch = structures.map_leaves(tf.convert_to_tensor, source.example)
  y_pred = strategy.run(_forward, args=(model, batch[0]))
  output = distribution.first(strategy, y_pred)
  if not model.trainable_variables:
    checks.fail("model", model.name, "a model with trainable weights")
  check_targets(source, loss, model, output)

  def update(y_pred):
    x, y, sample_weight = batch
    model.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight)
    model.compute_metrics(x, y, y_pred, sample_weight)

  try:
    strategy.run(update, args=(y_pred,))
  except _KERAS_ERRORS as error:
    rule = f"a loss and metrics that fit the data ({_reason(error)})"
    raise checks.ArgumentError(
      f"`loss` and `metrics` must be {rule}"
    ) from error
  names = list(evaluation.expand(model.get_metrics_result()))
  strategy.run(model.reset_metrics)
  return output, ["loss", *(name for name in names if name != "loss")]


def _forward(model, x):
  """The model's output, or one line that says what it does not take."""
  try:
    return model(x, training=False)
  except _KERAS_ERRORS as error:
    shapes = [(None, *leaf.shape[1:]) for leaf in tf.nest.flatten(x)]
    rule = f"of shapes that the model takes ({_reason(error)})"
    raise checks.ArgumentError(f"`x` must be {rule}; got {shapes}") from error


def _reason(error):
  """The line of a Keras error that says something, without colours."""
  text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
  lines = [line.strip() for line in text.splitlines() if line.strip()]
  told = [line for line in lines if not line.startswith("Exception enc")]
  return (told or lines or [type(error).__name__])[0]


def check_batch_size(source):
  """Refuses a training set smaller than one batch."""
  if source.steps_per_epoch == 0:
    rule = f"at most {source.num_examples}, the number of examples"
    checks.fail("batch_size", source.batch_size, rule)


def check_overrun(schedule, steps):
  """Refuses a run longer than a schedule that must not overrun."""
  if not schedule.overrun and steps > schedule.total_steps:
    rule = f"a schedule of at least {steps} steps, the length of the run"
    checks.fail("schedule", schedule, rule)


def check_monitors(monitors, names):
  """Refuses monitors that no metric feeds; lists those there are."""
  known = [*names, *(f"val_{name}" for name in names)]
  for monitor in monitors:
    checks.choice("monitor", monitor, known)


def check_validation(monitors, validation, every, total):
  """Refuses a run whose judges would never see a validation.

  Args:
    monitors: names of the metrics that decide something.
    validation: a data source, or None.
    every: updates between validations.
    total: updates of the run.
  """
  for monitor in monitors:
    if monitor.startswith("val_") and validation is None:
      rule = f"given, because `{monitor}` is monitored"
      checks.fail("validation", None, rule)
  if every > total and (monitors or validation is not None):
    checks.fail("validate_every", every, f"at most the run's {total} steps")


def check_workdir(workdir):
  """Refuses a workdir that can't be written; leaves nothing behind."""
  parent = os.path.abspath(workdir)
  while not os.path.lexists(parent):
    parent = os.path.dirname(parent)
  try:  # what permissions say is void for root and on a read-only disk
    with tempfile.TemporaryDirectory(dir=parent):
      pass
  except OSError:
    checks.fail("workdir", str(workdir), f"writable ({parent} is not)")


def check_like(name, source, example):
  """Refuses data whose inputs are shaped otherwise than the first data's.

  Args:
    name: "data" or "validation".
    source: a data source.
    example: (x, y, sample_weight) of the first data.

  Raises:
    ValueError: if keys, shapes or the presence of targets differ.
  """
  for part, mine, theirs in zip(
    ("x", "y"), source.example[:2], example[:2], strict=True
  ):
    found, wanted = _shapes(mine), _shapes(theirs)
    if found != wanted:
      rule = f"of shapes {wanted} in `{part}`, as the first data"
      checks.fail(name, found, rule)


def check_targets(source, loss, model, output):
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


def _shapes(part):
  """The examples' shapes: one, or {key: one}; None without."""
  if isinstance(part, dict):
    return {key: tuple(one.shape[1:]) for key, one in part.items()}
  if isinstance(part, (list, tuple)):
    return [tuple(one.shape[1:]) for one in part]
  return None if part is None else tuple(part.shape[1:])


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
