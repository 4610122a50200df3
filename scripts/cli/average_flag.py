"""The flag of averaged weights, and the option it describes."""

import re

from absl import flags

from cli import flag_rules, light

trainloop = light.Deferred("trainloop")
fit_plan = light.Deferred("trainloop.workdir.fit_plan")
_NUMBER = r"(:(?P<{}>\d*\.?\d+(e-\d+)?))?"
_FORMS = re.compile(
  "cycle(?P<statistics>:statistics)?"
  f"|ema{_NUMBER.format('decay')}|schedule_free{_NUMBER.format('beta')}"
)


def define():
  """Defines the flag."""
  flags.DEFINE_string(
    "average",
    None,
    "averages to be judged and left in place of the weights: ema:0.999, a "
    "moving one with that decay; cycle, the mean of those at the ends of the "
    "schedule's cycles, or cycle:statistics, with BatchNormalization's "
    "computed anew for it; schedule_free:0.9, schedule-free training with that "
    "beta in the place of momentum, for sgd, adam and adamw under a rate that "
    "does not fall; unset: none",
  )
  flags.register_validator("average", _accept)


def _accept(value):
  match = _FORMS.fullmatch("ema" if value is None else value)
  if match and float(match["decay"] or match["beta"] or 0) < 1:
    return True
  rule = "ema or ema:DECAY with a decay in [0, 1), cycle or cycle:statistics, "
  rule += "schedule_free or schedule_free:BETA with a beta in [0, 1)"
  raise flags.ValidationError(f"must be {rule}; got {value!r}")


def check_cycles(schedule, steps):
  """Refuses an average of cycles where fewer than two end; one will do where
  statistics are computed anew.

  Args:
    schedule: the run's `kernels.Schedule`.
    steps: updates of the run.
  """
  value = flags.FLAGS.average
  least = {"cycle": 2, "cycle:statistics": 1}.get(value, 0)
  count = len(fit_plan.cycle_ends(schedule, steps)) if least else 0
  if count < least:
    name = flags.FLAGS.schedule
    text = (
      f"--average={value} has no effect: {count} cycles of --schedule={name}"
    )
    text += f" end within the run's {steps} steps; take --schedule=sgdr"
    flag_rules.stop(f"{text} with a shorter --cycle_len, or --average=ema")


def make():
  """A `trainloop.EMA`, `CycleAverage` or `ScheduleFree`, or None."""
  value = flags.FLAGS.average
  if value is None:
    return None
  match = _FORMS.fullmatch(value)
  if value.startswith("cycle"):
    return trainloop.CycleAverage("statistics" if match["statistics"] else None)
  name = "beta" if is_schedule_free() else "decay"
  kind = trainloop.ScheduleFree if name == "beta" else trainloop.EMA
  return kind() if match[name] is None else kind(float(match[name]))


def is_schedule_free():
  """Whether training is to be schedule-free: without a momentum of its own."""
  flag = (
    flags.FLAGS.find_module_defining_flag("average") and flags.FLAGS.average
  )
  return bool(flag) and flag.startswith("schedule_free")
