"""Flags of what moves beside the learning rate, and of parameter groups."""

import re

from absl import flags

from cli import flag_rules, light

FLAGS = flags.FLAGS
kernels = light.Deferred("kernels")
trainloop = light.Deferred("trainloop")
durations = light.Deferred("trainloop.base.durations")

NAMES = ("momentum", "weight_decay", "beta_2", "clipnorm", "global_clipnorm")
_NUMBER = r"\d*\.?\d+(?:e[-+]?\d+)?"
_SCHEDULE = re.compile(
  rf"constant:(?P<value>{_NUMBER})|(?P<kind>linear|cosine):"
  rf"(?P<first>{_NUMBER}):(?P<last>{_NUMBER})(?::(?P<length>[\d.]+(ep|st|%)))?"
)
_GROUP = re.compile(
  rf"(?P<pattern>.+):(?P<factors>(lr|wd)={_NUMBER}(,(lr|wd)={_NUMBER})?)"
)


def define():
  """Defines the flags."""
  for name in NAMES:
    flags.DEFINE_string(
      f"{name}_schedule",
      None,
      f"how {name} moves: constant:0.1, linear:0.1:0.2 or cosine:0.04:0.4, and "
      "a length as :50% [3ep, 500st or 10%] if it is not the run's; unset: it "
      "does not",
    )
    flags.register_validator(f"{name}_schedule", _accept_schedule)
  flags.DEFINE_multi_string(
    "group",
    [],
    "factors on the learning rate and weight decay of variables, by a regular "
    "expression of their paths, as 'embedding/.*:lr=0.1,wd=0'; more than once "
    "for several groups",
  )
  flags.register_validator("group", _accept_groups)
  flag_rules.number(
    "layer_decay",
    None,
    "learning rate of a layer over that of the layer after it [factor]; "
    "unset: 1",
    0,
    1,
    open_low=True,
  )


def check():
  """Rules about several flags; ends the program with one line."""
  if FLAGS.group and FLAGS.layer_decay is not None:
    flag_rules.stop("--layer_decay makes groups of all variables: no --group")


def make(steps_per_epoch):
  """{argument of `TrainLoop`: value} of the flags.

  Args:
    steps_per_epoch: batches of an epoch, for their lengths; None where nobody
      knows it, which is refused if a length is needed.
  """
  moved = {}
  for name in NAMES:
    text = FLAGS[f"{name}_schedule"].value
    if text is not None:
      moved[name] = _kernel(f"{name}_schedule", text, steps_per_epoch)
  return {"schedules": moved or None, "groups": _groups()}


def _kernel(flag, text, steps_per_epoch):
  match = _SCHEDULE.fullmatch(text)
  if match["value"] is not None:
    return kernels.Constant(float(match["value"]))
  if steps_per_epoch is None:
    flag_rules.stop(f"--{flag} needs run_flags.options(steps_per_epoch)")
  total = steps_per_epoch * FLAGS.epochs
  length = match["length"] or "100%"
  steps = durations.to_steps(flag, length, steps_per_epoch, total, 1)
  first, last = float(match["first"]), float(match["last"])
  if match["kind"] == "linear":
    return kernels.Linear(first, last, steps)
  return kernels.Cosine(first, steps, last)


def _groups():
  if FLAGS.layer_decay is not None:
    rate = FLAGS.layer_decay
    return lambda model: trainloop.layer_decay(model, rate)
  groups = {}
  for text in FLAGS.group:
    match = _GROUP.fullmatch(text)
    factors = dict(one.split("=") for one in match["factors"].split(","))
    names = {"lr": "lr", "wd": "weight_decay"}
    numbers = {names[name]: float(value) for name, value in factors.items()}
    groups[match["pattern"]] = trainloop.Group(**numbers)
  return groups or None


def _accept_schedule(value):
  if value is None or _SCHEDULE.fullmatch(value):
    return True
  rule = "constant:VALUE, linear:FIRST:LAST or cosine:FIRST:LAST, and a length"
  raise flags.ValidationError(f"must be {rule} as :50%; got {value!r}")


def _accept_groups(value):
  patterns = set()
  for one in value:
    match = _GROUP.fullmatch(one)
    names = re.findall("(lr|wd)=", match["factors"]) if match else []
    if not match or len(set(names)) < len(names):
      rule = "PATTERN:lr=FACTOR,wd=FACTOR, either factor or both, each >= 0"
      raise flags.ValidationError(f"must be {rule}; got {one!r}")
    if match["pattern"] in patterns:
      rule = "different patterns, one for each group"
      raise flags.ValidationError(f"must be {rule}; got {one!r} twice")
    patterns.add(match["pattern"])
  return True
