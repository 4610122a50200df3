"""The flag of averaged weights, and the option it describes."""

import re

from absl import flags

from cli import light

trainloop = light.Deferred("trainloop")
_FORMS = re.compile(r"cycle|ema(:(?P<decay>\d*\.?\d+(e-\d+)?))?")


def define():
  """Defines the flag."""
  flags.DEFINE_string(
    "average",
    None,
    "averages to be judged and left in place of the weights: ema:0.999, a "
    "moving one with that decay; cycle, the mean of those at the ends of the "
    "schedule's cycles; unset: none",
  )
  flags.register_validator("average", _accept)


def _accept(value):
  match = _FORMS.fullmatch("ema" if value is None else value)
  if match and float(match["decay"] or 0) < 1:
    return True
  rule = "ema, ema:DECAY with a decay in [0, 1), or cycle"
  raise flags.ValidationError(f"must be {rule}; got {value!r}")


def make():
  """A `trainloop.EMA`, a `trainloop.CycleAverage`, or None."""
  value = flags.FLAGS.average
  if value is None:
    return None
  decay = _FORMS.fullmatch(value)["decay"]
  if value == "cycle":
    return trainloop.CycleAverage()
  return trainloop.EMA() if decay is None else trainloop.EMA(float(decay))
