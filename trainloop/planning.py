"""Where a fit begins and ends, and the curve it is going to follow."""

import numpy as np

import kernels
from trainloop import preflight
from trainloop.fit_plan import FitPlan, window_limits, with_cycles

_LENGTHS = ("epochs", "steps_per_epoch", "validate_steps", "checkpoint_steps")


def plan(parts, begun, asked, schedule, acts=()):
  """The `FitPlan` of a fit that begins, or began, at some place.

  Args:
    parts: the loop's `Parts`, built.
    begun: what `begin` gave.
    asked: the fit's fingerprint.
    schedule: its `kernels.Schedule`.
    acts: see `FitPlan`.
  """
  lengths = {name: asked[name] for name in _LENGTHS}
  found = FitPlan(**begun, **lengths, acts=acts)
  return with_cycles(found, schedule, parts.state.judge)


def begin(parts, asked, schedule, begins):
  """Starts anew what belongs to one fit.

  Args:
    parts, asked, schedule: see `plan`.
    begins: whether the schedule is at its own step 0 now.

  Returns:
    Where the fit begins: {"start", "first_epoch", "schedule_start"}.

  Raises:
    ValueError: if the schedule is shorter than the fit and must not be.
  """
  state = parts.state
  start = int(state.global_step.numpy())
  schedule_start = start if begins else int(state.schedule_start.numpy())
  begun = {
    "start": start,
    "first_epoch": state.next_epoch,
    "schedule_start": schedule_start,
  }
  end = plan(parts, begun, asked, schedule).end
  preflight.check_overrun(schedule, end - schedule_start)
  state.begin_fit(schedule_start)
  parts.evaluation.reset()
  return begun


def curve(parts, found, schedule):
  """The planned (rates, momenta or None) of a `FitPlan`; a value a step."""
  steps = np.arange(found.start, found.end) - found.schedule_start
  rates, momenta = kernels.tabulate(schedule, steps)
  own = parts.binding.momentum
  if momenta is None and own is not None:
    momenta = np.full_like(rates, own)
  return rates, momenta


def limits(parts, asked, source, validation, most, workdir):
  """The `Limits` of a fit's windows; see `fit_plan.window_limits`.

  Args:
    parts, asked: see `plan`.
    source, validation: data sources, the latter may be None.
    most: most updates of a window.
    workdir: where the run saves, or None.
  """
  return window_limits(
    asked,
    min(most, source.most_steps),
    validates=validation is not None or bool(parts.state.judge.monitors),
    saves=workdir is not None,
    crosses=source.crosses,
  )
