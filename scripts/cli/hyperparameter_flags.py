"""Flags of what moves beside the learning rate, and of parameter groups."""

import functools
import math
import re

from absl import flags

from cli import flag_rules, light

FLAGS = flags.FLAGS
kernels = light.Deferred("kernels")
trainloop = light.Deferred("trainloop")
durations = light.Deferred("trainloop.base.durations")

_CLIPS = ("clipnorm", "global_clipnorm", "clipvalue")
NAMES = ("momentum", "weight_decay", "beta_2", "rho", *_CLIPS)
_NUMBER = r"[-+]?(?:\d*\.?\d+(?:e[-+]?\d+)?|nan|inf)"
_SCHEDULE = re.compile(
  rf"constant:(?P<value>{_NUMBER})|(?P<kind>linear|cosine):"
  rf"(?P<first>{_NUMBER}):(?P<last>{_NUMBER})(?::(?P<length>[\d.]+(ep|st|%)))?"
)
_GROUP = re.compile(
  rf"(?P<pattern>.+):(?P<factors>(lr|wd)={_NUMBER}(,(lr|wd)={_NUMBER})?)"
)
_FRACTION = ("in [0, 1)", lambda value: 0 <= value < 1)
_POSITIVE = ("finite and > 0", lambda value: 0 < value < math.inf)
_NOT_NEGATIVE = ("finite and >= 0", lambda value: 0 <= value < math.inf)
_RULES = {
  **dict.fromkeys(("momentum", "beta_2", "rho"), _FRACTION),
  **dict.fromkeys(_CLIPS, _POSITIVE),
  "weight_decay": _NOT_NEGATIVE,
}


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
    accept = functools.partial(_accept_schedule, *_RULES[name])
    flags.register_validator(f"{name}_schedule", accept)
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
  clips = clipping()
  if clips and flag_rules.value("clip_norm"):
    clips.insert(0, "--clip_norm")
  if len(clips) > 1:
    one, other = clips[:2]
    flag_rules.stop(f"{one} and {other} both clip: leave one of them out")
  if FLAGS.momentum_schedule is None or "momentum" not in FLAGS:
    return
  if FLAGS["momentum"].present:
    flag_rules.stop("--momentum has no effect: --momentum_schedule moves it")


def clipping():
  """The flags given that say how far gradients are clipped."""
  names = [f"{name}_schedule" for name in _CLIPS]
  return [f"--{n}" for n in names if flag_rules.value(n) is not None]


def check_beside(schedule):
  """Refuses a schedule that moves what a flag moves, too."""
  if schedule.moves_momentum and FLAGS.momentum_schedule is not None:
    text = f"--momentum_schedule has no effect: --schedule={FLAGS.schedule}"
    text += " moves momentum by itself; take --momentum_range=LOW,HIGH, or a"
    flag_rules.stop(f"{text} --schedule that leaves it alone")


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


def _accept_schedule(rule, accept, value):
  match = _SCHEDULE.fullmatch("constant:0.5" if value is None else value)
  if match is None:
    form = (
      "constant:VALUE, linear:FIRST:LAST or cosine:FIRST:LAST, and a length"
    )
    raise flags.ValidationError(f"must be {form} as :50%; got {value!r}")
  numbers = [match[name] for name in ("value", "first", "last") if match[name]]
  return _accept_numbers("values", numbers, rule, accept, value)


def _accept_numbers(what, numbers, rule, accept, whole):
  """True, or an error that names the first number that breaks the rule."""
  for number in numbers:
    if not accept(float(number)):
      text = f"must have {what} that are {rule}; got {number} in {whole!r}"
      raise flags.ValidationError(text)
  return True


def _accept_groups(value):
  patterns = set()
  for one in value:
    match = _GROUP.fullmatch(one)
    names = re.findall("(lr|wd)=", match["factors"]) if match else []
    if not match or len(set(names)) < len(names):
      rule = "PATTERN:lr=FACTOR,wd=FACTOR, either factor or both"
      raise flags.ValidationError(f"must be {rule}; got {one!r}")
    numbers = re.findall("=([^,]+)", match["factors"])
    _accept_numbers("factors", numbers, *_NOT_NEGATIVE, one)
    if match["pattern"] in patterns:
      rule = "different patterns, one for each group"
      raise flags.ValidationError(f"must be {rule}; got {one!r} twice")
    patterns.add(match["pattern"])
  return True
