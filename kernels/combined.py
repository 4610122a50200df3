"""A schedule, and kernels for hyperparameters beside it, on one clock."""

import dataclasses
import functools

import numpy as np

from kernels import base, checks, lengths
from kernels.steps import Steps

MOMENTUM = "momentum"


@dataclasses.dataclass(frozen=True)
class Combined(lengths.LengthOfSchedule, base.Schedule):
  """A schedule with a kernel for each of further hyperparameters.

  A kernel's learning rate is the hyperparameter's value: `Cosine(0.04, n, 0.4)`
  for weight decay rises from 0.04 to 0.4. The kernel of "momentum" is the
  schedule's momentum. Length, warmup and cycles are those of the schedule.

  Args:
    schedule: a `Schedule`.
    names: of the hyperparameters, each once.
    kernels: a `Schedule` for each, none of which moves momentum.

  Raises:
    ValueError: if a field breaks its rule.

  >>> decay = kernels.Linear(0.0, 0.1, 4)
  >>> both = kernels.Combined(kernels.Constant(0.3), ["weight_decay"], [decay])
  >>> both.others([0, 2])["weight_decay"].numpy()
  array([0.  , 0.05], dtype=float32)
  """

  schedule: base.Schedule
  names: tuple
  kernels: tuple

  def __post_init__(self):
    base.check_schedule("schedule", self.schedule)
    names, kernels = tuple(self.names), tuple(self.kernels)
    if len(set(names)) < len(names) or len(names) != len(kernels):
      checks.fail("names", names, "different names, one for each kernel")
    for name, kernel in zip(names, kernels, strict=True):
      base.check_schedule(f"schedules[{name!r}]", kernel)
      if kernel.moves_momentum:
        rule = "a kernel that leaves momentum alone: its rate is the value"
        checks.fail(f"schedules[{name!r}]", type(kernel).__name__, rule)
    if MOMENTUM in names and self.schedule.moves_momentum:
      kind = type(self.schedule).__name__
      rule = "None, or given with a schedule that leaves momentum alone"
      checks.fail(f"schedules[{MOMENTUM!r}]", f"a kernel beside {kind}", rule)
    self.set_fields(names=names, kernels=kernels)

  def corners(self, steps):
    parts = [one.corners(steps) for one in (self.schedule, *self.kernels)]
    return [Steps.of(corners) for part in parts for corners in part]

  def compute(self, step):
    rate, momentum = self.schedule.compute(step)
    if MOMENTUM in self.names:
      momentum, _ = self.kernels[self.names.index(MOMENTUM)].compute(step)
    return rate, momentum

  def others(self, step):
    """The further hyperparameters of update `step`, without momentum.

    Args:
      step: as in `Schedule.__call__`.

    Returns:
      {name: float32 tensor of the shape of `step`}.
    """
    kernels = others_of(self)
    return {name: one(step).learning_rate for name, one in kernels.items()}


def parts_of(schedule):
  """(the schedule alone, {name: kernel} of those beside it)."""
  if not isinstance(schedule, Combined):
    return schedule, {}
  named = zip(schedule.names, schedule.kernels, strict=True)
  return schedule.schedule, dict(named)


def others_of(schedule):
  """{name: kernel} of what a schedule moves beside rate and momentum."""
  _, named = parts_of(schedule)
  return {name: one for name, one in named.items() if name != MOMENTUM}


def beside(schedule, kernels):
  """A schedule with kernels of further hyperparameters beside it.

  Args:
    schedule: a `Schedule`; the kernels of one that is combined already stay.
    kernels: {name: `Schedule`}; empty or None for none.
  """
  alone, own = parts_of(schedule)
  named = {**(kernels or {}), **own}
  if not named:
    return schedule
  return Combined(alone, tuple(named), tuple(named.values()))


def tabulate_all(kernels, steps):
  """Evaluates kernels for many steps; see `tabulate`.

  Args:
    kernels: {name: `Schedule`}.
    steps: an int n, meaning the steps 0 .. n-1, or an integer array.

  Returns:
    {name: float32 array of the shape of the steps}.
  """
  rates = functools.partial(base.tabulate, steps=steps)
  return {name: np.asarray(rates(one)[0]) for name, one in kernels.items()}
