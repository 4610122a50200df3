"""Checks on data, model and loss before step 1."""

import os

import keras
import numpy as np
import tensorflow as tf

from kernels import checks
from trainloop import data as data_lib
from trainloop import distribution

_SPARSE = "sparse_categorical_crossentropy"
_BINARY = "binary_crossentropy"
_ONE_TO_ONE = (
  _BINARY,
  "categorical_crossentropy",
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
  batch = data_lib.map_leaves(tf.convert_to_tensor, source.example)
  y_pred = strategy.run(_forward, args=(model, batch[0]))
  output = distribution.first(strategy, y_pred)
  if not model.trainable_variables:
    checks.fail("model", model.name, "a model with trainable weights")
  check_source("data", source, loss, output)

  def update(y_pred):
    x, y, sample_weight = batch
    model.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight)
    model.compute_metrics(x, y, y_pred, sample_weight)

  strategy.run(update, args=(y_pred,))
  names = [name for name in model.get_metrics_result() if name != "loss"]
  strategy.run(model.reset_metrics)
  return output, ["loss", *names]


def _forward(model, x):
  """The model's output, or one line that says what it does not take."""
  try:
    return model(x, training=False)
  except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
    shapes = [(None, *leaf.shape[1:]) for leaf in tf.nest.flatten(x)]
    reason = str(error).strip().splitlines()[0]
    rule = f"of shapes that the model takes ({reason})"
    raise checks.ArgumentError(f"`x` must be {rule}; got {shapes}") from error


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


def check_monitors(monitors, names, validation):
  """Refuses monitors that no metric feeds; lists those there are."""
  known = [*names, *(f"val_{name}" for name in names)]
  for monitor in monitors:
    checks.choice("monitor", monitor, known)
    if monitor.startswith("val_") and validation is None:
      rule = f"given, because `{monitor}` is monitored"
      checks.fail("validation", None, rule)


def check_workdir(workdir):
  """Refuses a workdir that can't be written."""
  parent = os.path.abspath(workdir)
  while not os.path.lexists(parent):
    parent = os.path.dirname(parent)
  writable = os.access(parent, os.W_OK | os.X_OK)
  if not os.path.isdir(parent) or not writable or parent.startswith("/proc"):
    checks.fail("workdir", str(workdir), f"writable ({parent} is not)")


def check_source(name, source, loss, output):
  """Refuses data that does not fit the model's output or the loss.

  Args:
    name: "data" or "validation".
    source: a data source.
    loss: the loss as the user gave it: one, or one an output.
    output: the model's output for a batch of the training data.

  Raises:
    ValueError: if shapes do not match, or labels are out of range.
  """
  if source.targets is not None:
    check_targets(loss, source.targets, output)


def check_targets(loss, y, output):
  """Refuses targets that the loss would broadcast or turn into NaN.

  Args:
    loss: the loss as the user gave it: one, or one an output.
    y: targets: arrays (all examples) or tensors (one batch), or None.
    output: the model's output for a batch.

  Raises:
    ValueError: if shapes do not match, or labels are out of range.
  """
  outputs, targets = tf.nest.flatten(output), data_lib.leaves(y)
  losses = _one_an_output(loss, len(outputs))
  if len(losses) != len(outputs) or len(targets) != len(outputs):
    return  # a loss of its own kind: Keras pairs them
  for one_loss, target, one_output in zip(
    losses, targets, outputs, strict=True
  ):
    _check_pair(_name(one_loss), np.asarray(target), one_output.shape)


def _one_an_output(loss, count):
  if isinstance(loss, dict):
    return list(loss.values())
  if isinstance(loss, (list, tuple)):
    return list(loss)
  return [loss] * count


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


def _check_pair(loss, y, shape):
  shape = tuple(shape)
  if loss == _SPARSE:
    _check_sparse(y, shape)
    return
  pair = (y.shape[1:], shape[1:])
  if loss in _ONE_TO_ONE and pair[0] != pair[1]:
    _refuse_shapes(y, shape)
  # An unknown loss would broadcast (B,) against (B, 1) without a word.
  if pair in (((), (1,)), ((1,), ())):
    _refuse_shapes(y, shape)
  if loss == _BINARY and (y.min() < 0 or y.max() > 1):
    bad = y.flat[np.argmax((y < 0) | (y > 1))]
    checks.fail("y", bad.item(), f"labels in [0, 1] for {loss}")


def _check_sparse(y, shape):
  classes = shape[-1]
  if y.shape[1:] not in (shape[1:-1], (*shape[1:-1], 1)):
    _refuse_shapes(y, shape, shape[1:-1])
  if y.dtype.kind == "f" and not (y == np.floor(y)).all():
    checks.fail("y", y.dtype, f"integer labels for {_SPARSE}")
  if y.min() < 0 or y.max() >= classes:
    bad = y.flat[np.argmax((y < 0) | (y >= classes))]
    rule = f"labels in [0, {classes - 1}] for {classes} outputs"
    checks.fail("y", bad.item(), rule)


def _refuse_shapes(y, shape, wanted=None):
  wanted = shape[1:] if wanted is None else wanted
  want = ", ".join(["examples", *map(str, wanted)])
  out = ", ".join(["examples", *map(str, shape[1:])])
  checks.fail("y", y.shape, f"of shape ({want}) for an output of ({out})")
