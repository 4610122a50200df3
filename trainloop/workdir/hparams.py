"""What TensorBoard's HParams page compares: a fit's choices and results."""

import math
import numbers

import numpy as np

from kernels import checks
from trainloop.judging.directions import direction

# Choices that say nothing beside the others.
_LEFT_OUT = ("data_crc32", "validation", "data", "model", "metrics")
_LEFT_OUT += ("random_seed",)


def check(given):
  """The values that a user adds, as plain Python, or {} for None.

  Args:
    given: {name: a finite number, str or bool}, or None.

  Raises:
    ValueError: if it is something else.
  """
  if given is None:
    return {}
  if not isinstance(given, dict):
    checks.fail("hparams", given, "a dict or None")
  found = {}
  for name, value in given.items():
    checks.text("hparams", name, "a dict whose keys are names")
    if isinstance(value, str) and value:
      checks.text(f"hparams[{name!r}]", value, "a str")
    found[name] = _plain(value)
    if found[name] is None:
      rule = "a finite number, a str or a bool"
      checks.fail(f"hparams[{name!r}]", value, rule)
  return found


def of(identity, added):
  """What is shown of a fit.

  Args:
    identity: {name: JSON value}; see `identity.of`.
    added: what a user adds, checked; it goes before what the loop knows.

  Returns:
    {name: number, str or bool}; fields of dicts as "schedule/peak_lr".
  """
  found = {}
  for name, value in identity.items():
    if name not in _LEFT_OUT:
      found.update(_flat(name, value))
  return {**found, **added}


def results(epochs, directions):
  """Final and best metrics of a fit.

  Args:
    epochs: {metric name: array of its value in each epoch, or NaN}.
    directions: what `directions.of_metrics` gave.

  Returns:
    {"final/name": its last value, "best/name": its best one}; the latter
    only where it is known whether less or more is better.
  """
  found = {}
  for name, values in epochs.items():
    values = [float(v) for v in values if math.isfinite(v)]
    if name == "epoch" or not values:
      continue
    found[f"final/{name}"] = values[-1]
    sign = _direction(name, directions)
    if sign is not None:
      found[f"best/{name}"] = sign * max(sign * v for v in values)
  return found


def _direction(name, known):
  try:
    return direction(name, "auto", known)
  except checks.ArgumentError:
    return None


def _flat(name, value):
  """{name: value} of a JSON value; a dict's kind stands for itself."""
  if not isinstance(value, dict):
    plain = str(value) if isinstance(value, list) else _plain(value)
    if isinstance(plain, str):
      plain = plain.strip("'")  # of what stands there as its repr
    return {} if plain is None else {name: plain}
  found = {}
  for key, part in value.items():
    if key == "code":
      continue
    inner = name if key in ("kernel", "kind") else f"{name}/{key}"
    found.update(_flat(inner, part))
  return found


def _plain(value):
  """A number, str or bool as plain Python; None for all else."""
  if isinstance(value, np.bool_):
    return bool(value)
  if isinstance(value, (bool, str)):
    return value
  if not checks.is_finite(value):
    return None
  return int(value) if isinstance(value, numbers.Integral) else float(value)
