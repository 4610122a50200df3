"""The flag of classes' weights, and the dict it describes."""

import re

from absl import flags

_FORM = re.compile(r"balanced|\d+:\d*\.?\d+(,\d+:\d*\.?\d+)*")


def define():
  """Defines the flag."""
  flags.DEFINE_string(
    "class_weight",
    None,
    "what examples of a class count in the loss of training, by its number, as "
    "0:1,1:5, or balanced, by how rare it is; unset: all the same",
  )
  flags.register_validator("class_weight", _accept)


def _accept(value):
  if value is None or _FORM.fullmatch(value):
    return True
  rule = "balanced, or weights of classes as 0:1,1:5"
  raise flags.ValidationError(f"must be {rule}; got {value!r}")


def make():
  """What `fit` takes as `class_weight`: a dict, "balanced" or None."""
  value = flags.FLAGS.class_weight
  if value is None or value == "balanced":
    return value
  pairs = (one.split(":") for one in value.split(","))
  return {int(label): float(weight) for label, weight in pairs}
