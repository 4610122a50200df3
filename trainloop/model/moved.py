"""Hyperparameters that kernels of their own move: the argument `schedules`."""

import keras

import kernels
from kernels import checks, combined
from trainloop.model.scheduled_optimizer import KNOWN

_RESERVED = ("learning_rate", "loss", "grad_norm", "skipped", "step", "epoch")
_RESERVED += ("steps", "plateau_scale", "loss_scale")


def check(schedules):
  """The argument `schedules` as {name: `kernels.Schedule`}; {} for None.

  A number stands for a constant.

  Args:
    schedules: a dict, or None.

  Raises:
    ValueError: if a name or a kernel is something else.
  """
  if schedules is None:
    return {}
  if not isinstance(schedules, dict):
    rule = "a dict {hyperparameter: kernels.Schedule} or None"
    checks.fail("schedules", type(schedules).__name__, rule)
  for name in schedules:
    checks.text("schedules", name, "a dict whose keys are names")
    if name in _RESERVED or not name.isidentifier():
      rule = "names of arguments, and none of " + ", ".join(_RESERVED)
      checks.fail("schedules", name, rule)
  return {name: _kernel(name, one) for name, one in schedules.items()}


def _kernel(name, value):
  if isinstance(value, kernels.Schedule):
    return value
  if isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
    return kernels.from_keras(value)
  rule = "a kernels.Schedule, or a finite number >= 0"
  value = checks.number(f"schedules[{name!r}]", value, rule, lambda v: v >= 0)
  return kernels.Constant(value)


def values_of_step(schedules, step):
  """Names of those that a user's `step` is called with, a tuple.

  Args:
    schedules: what `check` gave.
    step: the user's function; None for none.
  """
  if step is None:
    return ()
  return tuple(n for n in schedules if n not in KNOWN and "/" not in n)


def further(schedules, schedule):
  """What moves beside the learning rate in a run: ({name: kernel}, schedule).

  A schedule that brings kernels of further optimizers' rates gives them to the
  run, whose columns they are.

  Args:
    schedules: what `check` gave.
    schedule: a `kernels.Schedule`, another kind of schedule, or None.
  """
  if not isinstance(schedule, kernels.Combined):
    return schedules, schedule
  alone, rates = combined.parts_of(schedule)
  return {**rates, **schedules}, alone
