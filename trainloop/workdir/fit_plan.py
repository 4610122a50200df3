"""Where the windows of one fit must end."""

import bisect
import dataclasses

from kernels import checks, combined
from kernels.steps import Steps
from trainloop.base.durations import MOST_UPDATES


def check_length(epochs, steps_per_epoch):
  """Refuses a fit of more updates than `MOST_UPDATES`."""
  most = MOST_UPDATES // steps_per_epoch
  if epochs > most:
    rule = f"at most {most}, as a fit has at most {MOST_UPDATES} updates and "
    checks.fail("epochs", epochs, f"{rule}an epoch {steps_per_epoch} here")


@dataclasses.dataclass(frozen=True)
class FitPlan:
  """The steps of one fit: pure arithmetic on the one clock.

  Attributes:
    start: global step at which the fit begins.
    first_epoch: epochs of the run begun before this fit.
    schedule_start: global step at which its schedule is at its own step 0.
    epochs: epochs of this fit.
    steps_per_epoch: updates of an epoch.
    validate_steps: updates between two validations.
    checkpoint_steps: updates between two checkpoints.
    cycle_ends: `Steps` at which a cycle of the schedule ends, global ones;
      empty where nobody asks.
    annealed_from: global step from which the schedule has ended, or None.
    warm_until: global step at which its warmup is over.
    judges_cycles: whether a validation is due at each cycle's end.
    wake_every: periods in updates; a window ends at each multiple, counted
      from the start. Empty for epochs, validations and checkpoints.
    histograms_steps: after each multiple of so many updates histograms are
      due; the last update before is a window of its own. Or None.
    cuts: ascending global steps at which a window must end, too.
  """

  start: int
  first_epoch: int
  schedule_start: int
  epochs: int
  steps_per_epoch: int
  validate_steps: int
  checkpoint_steps: int
  cycle_ends: Steps | tuple = ()
  annealed_from: int | None = None
  warm_until: int = 0
  judges_cycles: bool = False
  wake_every: tuple = ()
  histograms_steps: int | None = None
  cuts: tuple = ()

  @property
  def end(self):
    """Global step at which the fit is complete."""
    return self.start + self.epochs * self.steps_per_epoch

  def position(self, step):
    """(epoch of the run, step in that epoch), both from 0."""
    epoch, inside = divmod(step - self.start, self.steps_per_epoch)
    return self.first_epoch + epoch, inside

  def ends_epoch(self, step):
    """Whether `step` updates complete an epoch."""
    return (step - self.start) % self.steps_per_epoch == 0

  def validates(self, step):
    """Whether a validation is due after `step` updates."""
    regular = (step - self.start) % self.validate_steps == 0
    return regular or (self.judges_cycles and self.ends_cycle(step))

  def ends_cycle(self, step):
    """Whether `step` updates complete a cycle of the schedule."""
    i = bisect.bisect_left(self.cycle_ends, step)
    return i < len(self.cycle_ends) and self.cycle_ends[i] == step

  def flags(self, step):
    """What a judge must know of a validation after `step` updates; a dict."""
    ended = self.annealed_from is not None and step >= self.annealed_from
    return {
      "due": (step - self.start) % self.validate_steps == 0,
      "annealed": ended or self.ends_cycle(step),
      "warm": step < self.warm_until,
    }

  def saves(self, step):
    """Whether a checkpoint is due after `step` updates."""
    return (step - self.start) % self.checkpoint_steps == 0

  def inspects(self, step):
    """Whether histograms are due after `step` updates."""
    every = self.histograms_steps
    return every is not None and (step - self.start) % every == 0

  def until_event(self, step):
    """Updates from `step` to where the host has something to do: by default
    an epoch's end, a validation or checkpoint; any cycle's end, histograms,
    cuts, and the fit's own end."""
    done = step - self.start
    cycles = self.wake_every or (
      self.steps_per_epoch,
      self.validate_steps,
      self.checkpoint_steps,
    )
    i = bisect.bisect_right(self.cycle_ends, step)
    ends = [end - step for end in (*self.cycle_ends[i : i + 1], self.end)]
    ends += [cut - step for cut in self.cuts if cut > step][:1]
    if self.histograms_steps is not None:
      left = self.histograms_steps - done % self.histograms_steps
      ends.append(max(1, left - 1))
    return min([*(cycle - done % cycle for cycle in cycles), *ends])

  def ends_inside(self, step, n):
    """Numbers of updates from `step`, in (0, n), after which an epoch ends."""
    size = self.steps_per_epoch
    return list(range(size - (step - self.start) % size, n, size))

  def with_ends(self, step, n, most):
    """The most updates, up to n, with at most `most` such ends inside."""
    ends = self.ends_inside(step, n)
    return n if len(ends) <= most else ends[most]


def epoch_number(plan, done):
  """The epoch of the last of `done` updates, counted from 1 over the run.

  Args:
    plan: a `FitPlan`.
    done: updates done, int >= 1.
  """
  return plan.position(done - 1)[0] + 1


def cycle_ends(schedule, steps):
  """Where cycles of a schedule end within its first steps: `Steps`, its own."""
  total = schedule.total_steps
  ends = Steps.of(schedule.cycle_starts(steps + 1))
  if total is not None and total <= steps and total not in ends[-1:]:
    ends += [total]
  return ends.within(1, steps + 1)


def with_cycles(plan, schedule, judge, averages=False):
  """A plan that knows of its schedule's warmup and cycles.

  Args:
    plan: a `FitPlan`.
    schedule: the `kernels.Schedule` of the fit.
    judge: the `Judge`, which may ask for cycles.
    averages: whether weights are averaged at their ends.

  Returns:
    A `FitPlan`.

  Raises:
    ValueError: if cycles are asked for where none ends within the fit.
  """
  begun = plan.schedule_start
  plan = dataclasses.replace(plan, warm_until=begun + schedule.warmup_end)
  judges = judge.by_cycle or judge.keeps_cycles
  if not (judges or averages):
    return plan
  total = schedule.total_steps
  ends = cycle_ends(schedule, plan.end - begun).shifted(begun)
  ends = ends.within(plan.start + 1, plan.end + 1)
  if not ends:
    kind = type(combined.parts_of(schedule)[0]).__name__
    what = "judge by cycles" if judges else "average the weights there"
    rule = f"one of which a cycle ends within the run, to {what}"
    checks.fail("schedule", kind, rule)
  return dataclasses.replace(
    plan,
    cycle_ends=ends,
    annealed_from=None if total is None else begun + total,
    judges_cycles=judge.by_cycle,
  )
