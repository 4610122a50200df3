"""The only place that words argument errors: what, its value, the rule."""

import math
import numbers

# Counts of steps stay below this, so that sums of two fit an int64.
_FAR = 1 << 62
LARGEST = 3.4028234663852886e38  # rate: that of float32


class ArgumentError(ValueError):
  """A bad argument, in one line for a person: scripts print just that."""


def fail(name, value, rule):
  """Raises the one-line `ArgumentError` that every bad argument ends in."""
  raise ArgumentError(f"`{name}` must be {rule}; got {value!r}")


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
  if isinstance(value, bool) or not isinstance(value, numbers.Real):
    fail(name, value, rule)
  if not math.isfinite(value) or not accept(value):
    fail(name, value, rule)
  return float(value)


def rate(name, value):
  """A learning rate: >= 0 and finite in float32."""
  number(name, value, "a finite number >= 0", lambda v: v >= 0)
  rule = "a number that is finite in float32"
  return number(name, value, rule, lambda v: v <= LARGEST)


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


def choice(name, value, known):
  """One of the `known` strings, or raises with the list of them."""
  if value not in known:
    fail(name, value, "one of " + ", ".join(known))
  return value
