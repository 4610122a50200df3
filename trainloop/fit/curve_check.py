"""A schedule's values, looked at before step 1."""

import numpy as np

import kernels
from kernels import checks
from kernels.steps import Steps

# A curve of up to this many steps is checked at each step, 50 ns each. Of a
# longer one about as many steps are; each update checks its own values, too.
EVERY = 1 << 20
_PART = EVERY // 4
_FRACTIONS = ("beta_2", "rho")
_POSITIVE = ("clipnorm", "global_clipnorm", "clipvalue")


def check(schedule, first, last, divides=False):
  """Refuses a curve that updates can't follow.

  Of more than `EVERY` steps it looks at those at both ends, an even grid, and
  the schedule's corners (or a part of them) with the step before each.

  Args:
    schedule: a `kernels.Schedule`.
    first, last: its own steps, first < last.
    divides: whether the optimizer divides by the rate, as Ftrl.

  Raises:
    ValueError: naming the first step looked at whose rate is not a finite
      number >= 0 or whose momentum is not in [0, 1).
  """
  steps = _looked_at(schedule, first, last)
  rates, momenta = kernels.tabulate(schedule, steps)
  good = np.isfinite(rates) & (rates >= 0)
  _refuse("learning rates that are finite and >= 0", good, steps, rates)
  if divides:
    rule = "learning rates > 0 (Ftrl divides by them, and weights become NaN)"
    _refuse(rule, rates > 0, steps, rates)
  if momenta is not None:
    good = (momenta >= 0) & (momenta < 1)
    _refuse("momenta in [0, 1)", good, steps, momenta)


def check_rising(schedule, first, last, what="schedule"):
  """Refuses learning rates that fall.

  Args:
    schedule, first, last: see `check`.
    what: the argument that gave it, for the error.

  Raises:
    ValueError: naming the first step looked at whose rate is below that of the
      one looked at before.
  """
  steps = np.unique(_looked_at(schedule, first, last))
  rates, _ = kernels.tabulate(schedule, steps)
  good = np.append(True, np.diff(rates) >= 0)
  rule = "learning rates that never fall with `average=ScheduleFree()`, as "
  rule += "kernels.Constant(0.1) or kernels.Warmup of it does,"
  _refuse(rule, good, steps, rates, what)


def check_further(kernels_of, first, last):
  """Refuses values of further hyperparameters that updates can't follow.

  Args:
    kernels_of: {name: `kernels.Schedule`}, of hyperparameters and factors.
    first, last: see `check`.

  Raises:
    ValueError: naming hyperparameter and step.
  """
  for name, kernel in kernels_of.items():
    steps = _looked_at(kernel, first, last)
    values, _ = kernels.tabulate(kernel, steps)
    good, rule = np.isfinite(values) & (values >= 0), "finite and >= 0"
    if name in _FRACTIONS:
      good, rule = good & (values < 1), "in [0, 1)"
    elif name in _POSITIVE:
      good, rule = good & (values > 0), "finite and > 0"
    what = f"schedules[{name!r}]" if "/" not in name else f"groups: {name}"
    _refuse(f"values that are {rule}", good, steps, values, what)


def _looked_at(schedule, first, last):
  """int64 steps in [first, last), in any order, some more than once."""
  if last - first <= EVERY:
    return np.arange(first, last, dtype=np.int64)
  parts = [
    np.arange(first, first + _PART, dtype=np.int64),
    np.arange(last - _PART, last, dtype=np.int64),
    np.linspace(first, last - 1, _PART).astype(np.int64),
  ]
  for corners in schedule.corners(last):
    inside = Steps.of(corners).within(first + 1, last)
    count = min(len(inside), _PART // 4)
    chosen = np.linspace(0, len(inside) - 1, count).astype(np.int64)
    corner = inside.take(chosen)
    parts += [corner - 1, corner]
  steps = np.concatenate(parts)
  return steps[steps < last]  # past 2^53 linspace rounds


def _refuse(rule, good, steps, values, what="schedule"):
  bad = np.flatnonzero(~good)
  if len(bad):
    first = bad[np.argmin(steps[bad])]
    value, step = values[first], steps[first]
    text = f"`{what}` must give {rule} at every step"
    raise checks.ArgumentError(f"{text}; got {value:g} at its step {step}")
