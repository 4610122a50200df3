"""The only place that words argument errors: what, its value, the rule."""

import math
import numbers

import numpy as np

# Counts of steps stay below this, so that sums of two fit an int64.
_FAR = 1 << 62
LARGEST = 3.4028234663852886e38  # rate: that of float32
_LONGEST = 200  # characters of a value that an error shows


class ArgumentError(ValueError):
  """A bad argument, in one line for a person: scripts print just that."""


def fail(name, value, rule):
  """Raises the one-line `ArgumentError` that every bad argument ends in."""
  raise ArgumentError(f"`{name}` must be {rule}; got {_repr(value)}")


def _repr(value):
  """A value's repr in one line, its middle left out where that is long."""
  try:
    text = " ".join(repr(value).split())
  except Exception:  # an int of too many digits, or a user's own `__repr__`
    text = f"a value of type {type(value).__name__}"
  if len(text) <= _LONGEST:
    return text
  return f"{text[: _LONGEST - 40]} ... {text[-20:]}"


def integer(name, value, minimum, maximum=None):
  """Returns `value` as an int in [minimum, maximum], or raises."""
  rule = f"an integer >= {minimum}"
  if maximum is not None:
    rule += f" and <= {maximum}"
  if isinstance(value, bool) or not isinstance(value, numbers.Integral):
    fail(name, value, rule)
  if value < minimum or (maximum is not None and value > maximum):
    fail(name, value, rule)
  if maximum is None and value >= _FAR:
    fail(name, value, f"{rule} and < 2^62")
  return int(value)


def number(name, value, rule, accept):
  """Returns `value` as a finite float that `accept` takes, or raises."""
  if not is_finite(value) or not accept(value):
    fail(name, value, rule)
  if abs(value) > LARGEST:
    fail(name, value, "a number that is finite in float32")
  return float(value)


def is_finite(value):
  """Whether a value is a number that a float can hold, and no bool."""
  if isinstance(value, bool) or not isinstance(value, numbers.Real):
    return False
  try:
    return math.isfinite(value)
  except OverflowError:  # an int beyond float64
    return False


def rate(name, value):
  """A learning rate: >= 0 and finite in float32."""
  return number(name, value, "a finite number >= 0", lambda v: v >= 0)


def boolean(name, value):
  """Returns `value` as a bool; NumPy's own is one, 0 and "False" are not."""
  if not isinstance(value, (bool, np.bool_)):
    fail(name, value, "a bool: True or False")
  return bool(value)


def text(name, value, rule):
  """Returns a str that is not empty and that a file can hold, or raises."""
  if not isinstance(value, str) or not value:
    fail(name, value, rule)
  try:
    value.encode()
  except UnicodeEncodeError:
    fail(name, value, f"{rule}, in characters that UTF-8 has")
  return value


def positive(name, value):
  """A finite number > 0."""
  return number(name, value, "a finite number > 0", lambda v: v > 0)


def fraction(name, value):
  """A finite number in [0, 1]."""
  return number(name, value, "a number in [0, 1]", lambda v: 0 <= v <= 1)


def coefficient(name, value):
  """A momentum coefficient: a number in [0, 1), or None."""
  if value is None:
    return None
  return number(name, value, "None or a number in [0, 1)", lambda v: 0 <= v < 1)


def momentum_pair(name, value):
  """None, or (momentum at low lr, momentum at high lr), each in [0, 1)."""
  if value is None:
    return None
  rule = "None or a pair (at low lr, at high lr) of numbers in [0, 1)"
  value = value.tolist() if hasattr(value, "tolist") else value
  if not isinstance(value, (tuple, list)) or len(value) != 2:
    fail(name, value, rule)
  for one in value:
    real = isinstance(one, numbers.Real) and not isinstance(one, bool)
    if not real or not 0 <= one < 1:
      fail(name, value, rule)
  return tuple(float(one) for one in value)


def boundaries(name, value):
  """A tuple of strictly ascending steps, each an int >= 1; may be empty."""
  rule = "a sequence of strictly ascending integers >= 1"
  if not isinstance(value, (tuple, list)):
    fail(name, value, rule)
  steps = tuple(integer(name, one, 1) for one in value)
  if list(steps) != sorted(set(steps)):
    fail(name, value, rule)
  return steps


def choice(name, value, choices):
  """One of the strings `choices`, or raises with the list of them."""
  if not isinstance(value, str) or value not in choices:
    fail(name, value, "one of " + ", ".join(choices))
  return value
