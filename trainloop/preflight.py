"""Checks on data, model and loss before step 1; targets have their own."""

import os
import re
import tempfile

import tensorflow as tf

from kernels import checks
from trainloop import distribution, evaluation, structures, targets

_KERAS_ERRORS = (
  ValueError,
  TypeError,
  AttributeError,
  tf.errors.InvalidArgumentError,
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
  targets.check(source, loss, model, output)

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


def _shapes(part):
  """The examples' shapes: one, or {key: one}; None without."""
  if isinstance(part, dict):
    return {key: tuple(one.shape[1:]) for key, one in part.items()}
  if isinstance(part, (list, tuple)):
    return [tuple(one.shape[1:]) for one in part]
  return None if part is None else tuple(part.shape[1:])
