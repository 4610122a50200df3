"""What a user's `step` may give, and what its values are called."""

import keras
import tensorflow as tf

from kernels import checks

# They have a meaning of their own among an epoch's values or in TensorBoard.
_TAKEN = ("epoch", "step", "learning_rate", "momentum", "grad_norm", "skipped")
_TAKEN += ("epoch_loss", "plateau_scale")


def check(values, x, losses, measured):
  """Refuses what a step must not give.

  Args:
    values: what it gave.
    x: the first tensor of its inputs.
    losses: names of the losses.
    measured: names of the outputs that metrics are of.

  Raises:
    ValueError: naming the value and its rule.
  """
  if not isinstance(values, dict) or not set(losses) <= set(values):
    rule = "a tensor, or a dict with the key 'loss'"
    if len(losses) > 1:
      rule = f"a dict with a loss an optimizer: {', '.join(losses)}"
    shown = sorted(map(str, values)) if isinstance(values, dict) else "no dict"
    checks.fail("step", shown, rule)
  if len(losses) > 1 and "loss" in values:
    rule = f"without 'loss', which is the sum of {', '.join(losses)}"
    checks.fail("step", sorted(map(str, values)), rule)
  for name in measured:
    if name not in values:
      rule = f"outputs that `step` gives: {', '.join(map(str, values))}"
      checks.fail("metrics", name, rule)
  for name, value in values.items():
    if not isinstance(name, str) or not tf.is_tensor(value):
      kind = {name: type(value).__name__}
      checks.fail("step", kind, "one that gives {name: tensor}")
    if not name or name in _TAKEN or name.startswith("val_") or "/" in name:
      rule = f"none of {', '.join(_TAKEN)}, not empty, without val_ or /"
      checks.fail("step() name", name, rule)
    if not value.dtype.is_floating:
      checks.fail(f"step()[{name!r}]", value.dtype.name, "of a float dtype")
    if value.shape.rank != 0 or name in (*losses, *measured):
      _check_shape(name, value, x, name in measured)


def _check_shape(name, value, x, is_output):
  """Refuses what has not a value, or an output, an example."""
  fixed, examples = x.shape[0], tf.shape(x)[0]
  short = value.shape[:1].as_list() not in ([fixed], [None])
  wrong = value.shape.rank == 0 if is_output else value.shape.rank != 1
  what = "an output" if is_output else "a value"
  if wrong or (fixed is not None and short):
    size = "examples" if fixed is None else fixed
    shape = f"({size}, ...)" if is_output else f"({size},)"
    rule = f"of shape {shape}, {what} an example"
    checks.fail(f"step()[{name!r}]", tuple(value.shape), rule)
  if fixed is None:  # seen when it runs; XLA knows every shape before
    text = f"`step()[{name!r}]` must have {what} an example"
    tf.debugging.assert_equal(tf.shape(value)[0], examples, message=text)


def metrics_of(metrics):
  """{output: [Keras metric]} of the argument `metrics` beside a `step`.

  Args:
    metrics: {output: a Keras metric, its name, or a list}; or None.

  Raises:
    ValueError: if it is none, or two have one name.
  """
  rule = "None or {output of `step`: a Keras metric, as keras.metrics.AUC()}"
  if not isinstance(metrics, (dict, type(None))):
    checks.fail("metrics", metrics, rule)
  found, names = {}, set()
  for output, given in (metrics or {}).items():
    given = given if isinstance(given, (list, tuple)) else [given]
    found[output] = [_metric(one, rule) for one in given]
    for one in found[output]:
      if one.name in names or one.name == "loss" or one.name in _TAKEN:
        checks.fail("metrics", one.name, f"{rule}, each of another name")
      names.add(one.name)
  return found


def _metric(given, rule):
  """A Keras metric of y and an output."""
  try:
    found = keras.metrics.get(given)
  except ValueError:
    found = None
  if not isinstance(found, keras.metrics.Metric):
    checks.fail("metrics", given, rule)
  return found
