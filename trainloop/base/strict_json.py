"""The only writer of JSON: what every reader of JSON takes.

Python would write NaN and infinities as words that JSON does not have. Here
they become texts, "NaN", "Infinity" and "-Infinity", which `float` reads; or,
for reports that others read, null, and the text beside it.
It needs no TensorFlow: scripts load it before that is imported.
"""

import json
import math

_BESIDE = "not_finite"


def dumps(value, **options):
  """A value as JSON; a number that is not finite is a text.

  Args:
    value: of JSON types.
    **options: those of `json.dumps`.
  """
  return json.dumps(_replaced(value, _text), allow_nan=False, **options)


def report(value, **options):
  """A dict as JSON; a number that is not finite is null.

  The texts of those stand under "not_finite", by where they are:
  {"metrics": {"loss": nan}} becomes {"metrics": {"loss": null},
  "not_finite": {"metrics.loss": "NaN"}}.

  Args:
    value: a dict of JSON types.
    **options: those of `json.dumps`.
  """
  beside = {}

  def note(number, place):
    beside[".".join(place)] = _text(number, place)

  plain = _replaced(value, note)
  plain = {**plain, _BESIDE: beside} if beside else plain
  return json.dumps(plain, allow_nan=False, **options)


def nulls(value):
  """A value as it is but for numbers that are not finite: None."""
  return _replaced(value, lambda number, place: None)


def number(value):
  """The float of a number, or of the text that stands for one."""
  return float(value) if isinstance(value, str) else value


def _text(number, place):
  del place
  return "NaN" if math.isnan(number) else f"{'-' * (number < 0)}Infinity"


def _replaced(value, stand_in, place=()):
  """A value in which what is not finite became `stand_in(number, place)`."""
  if isinstance(value, float) and not math.isfinite(value):
    return stand_in(value, place)
  if isinstance(value, dict):
    return {
      k: _replaced(v, stand_in, (*place, str(k))) for k, v in value.items()
    }
  if isinstance(value, (list, tuple)):
    parts = enumerate(value)
    return [_replaced(v, stand_in, (*place, str(i))) for i, v in parts]
  return value
