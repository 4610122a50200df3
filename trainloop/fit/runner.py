"""A fit from where it begins or goes on to its end, over rewinds."""

import contextlib
import dataclasses
import functools
import threading
import typing

from trainloop.compiled.programs import Programs
from trainloop.compiled.window import Limits
from trainloop.display import summary
from trainloop.display.terminal import Progress
from trainloop.fit import guards, schedules
from trainloop.fit.callables import Actions
from trainloop.fit.consensus import Accord
from trainloop.fit.pipeline import Fit
from trainloop.fit.window_length import Pace
from trainloop.model.bounds import ValueRangeError
from trainloop.model.trainee import Trainee
from trainloop.workdir.history import NonFiniteError, with_weights
from trainloop.workdir.no_records import NoRecords
from trainloop.workdir.profiler import Profile
from trainloop.workdir.tensorboard import logged, panel
from trainloop.workdir.tensorboard.extras import Extras


@dataclasses.dataclass
class Running:
  """What the fits of a loop share; `history` is that of the last one.

  `extras` says what TensorBoard shows of them; `identity` see `summary.of_fit`.
  """

  trainee: Trainee
  programs: Programs
  records: NoRecords
  pace: Pace
  progress: Progress
  stop: threading.Event
  guard: typing.Any
  actions: Actions
  extras: Extras
  profile: Profile
  identity: str = ""
  history: typing.Any = None

  def run(self, entry, schedule, window, acts, source, validation):
    """Runs a new fit, or the rest of one that the workdir knows.

    Args:
      entry: what the records remember of the fit.
      schedule: its `kernels.Schedule`, `window` its `Window`.
      acts: see `FitPlan`.
      source, validation: see `Fit.run`.

    Returns:
      Whether it came to its end; if not, it goes on another time.

    Raises:
      NonFiniteError: if an update is not finite and the guard says so.
      ValueRangeError: if ids or labels of a batch are out of range.
      What an action raised, with everything on the disk.
    """
    cuts = self.extras.profile or ()
    plan = schedules.plan(
      self.trainee, entry.origin, entry.terms.lengths, schedule, acts, cuts
    )
    part = logged.of(entry.terms.log_every, plan)
    step = int(self.trainee.state.global_step.numpy())
    self.history = self.records.history(entry, plan, step)
    # A history outlives its loop, so it must not hold the trainee.
    own = self.trainee.binding.momentum
    curve = functools.partial(schedules.curve, plan, schedule, own)
    self._for_pictures(plan, curve)
    if entry.finished:
      self.history.restored = True
      self.progress.line(f"this fit is done: {self.history.stop_reason}")
      return True
    self.progress.introduce(
      lambda: summary.of_loop(self.trainee),
      lambda: summary.of_fit(
        self.trainee,
        self.programs.engine,
        plan,
        schedule,
        source,
        self.records.workdir,
        part,
        self.identity,
      ),
    )
    if cuts and cuts[1] > plan.end:
      steps, end = f"{cuts[0]}:{cuts[1]}", f"which ends at step {plan.end}"
      self.progress.warn(
        f"warning: profile {steps} is not all in this fit, {end}"
      )
    if self.records.goes_on:
      self.progress.line(f"goes on at step {step} of {plan.end}")
    self.trainee.state.average.go_on()
    shown = panel.of(
      self.trainee,
      self.programs.engine,
      plan,
      entry.terms.identity,
      schedule,
      source,
      self.extras,
    )
    self.records.begin(plan, step, curve, self.history, shown)
    self.actions.begin(self.trainee.model, plan, plan.position(step)[0])
    step = self._fit(plan, part, schedule, window, source, validation)
    reason = self.history.stop_reason
    if reason == "preempted":
      self.records.leave(step, self.history)
      self.trainee.state.show()
      self.progress.finish(step, reason)
      self.stop.clear()
      self.actions.end()
      return False
    restored = self.trainee.state.finish()
    self.records.finish(step, self.history)
    judge = self.trainee.state.judge
    lines = summary.result(self.history, judge.best, restored)
    self.progress.finish(step, reason, lines)
    self.actions.end()
    return True

  def _fit(self, plan, part, schedule, window, source, validation):
    """Runs the plan, from a checkpoint again where the guard says so."""
    trainee, programs, seen = self.trainee, self.programs, {}
    if self.extras.histograms_every is not None:
      one, histograms = Limits(acts=(), updates=1, ends=0), programs.histograms
      seeing = programs.window(schedule, one, source, see=histograms.see)
      seen = {"seeing": seeing, "histograms": histograms}
    while True:
      fit = Fit(
        plan=plan,
        logged=part,
        window=window,
        evaluate=self._evaluate,
        metrics=programs.evaluation,
        state=trainee.state,
        history=self.history,
        strategy=trainee.strategy,
        pace=self.pace,
        progress=self.progress,
        records=self.records,
        accord=Accord(trainee.workers, self._stop_asked, self.records),
        actions=self.actions,
        profile=self.profile,
        **seen,
      )
      try:
        return fit.run(source, validation)
      except (NonFiniteError, ValueRangeError) as error:
        data = isinstance(error, ValueRangeError)
        if data or not self._may_rewind():
          step = int(trainee.state.global_step.numpy())
          with contextlib.suppress(NonFiniteError):
            self.records.leave(step, self.history)
          if data:
            raise
          raise with_weights(error, trainee.model) from None
        self._rewind(plan, error)

  def _evaluate(self, validation):
    """As `Programs.evaluate`; a pass without examples is told and goes by."""

    def empty():
      step = int(self.trainee.state.global_step.numpy())
      told = f"warning: `validation` had no example after update {step - 1}"
      self.progress.warn(told)

    return self.programs.evaluate(validation, empty)

  def _stop_asked(self):
    return self.stop.is_set() or self.actions.stop_asked

  def _for_pictures(self, plan, curve):
    self.history.planned = curve
    self.history.steps_per_epoch = plan.steps_per_epoch

  def _may_rewind(self):
    guard, state = self.guard, self.trainee.state
    if not isinstance(guard, guards.Rewind):
      return False
    return int(state.rewinds.numpy()) < guard.limit

  def _rewind(self, plan, error):
    """Goes back to the last checkpoint, and saves that it was done."""
    guard, state = self.guard, self.trainee.state
    count = int(state.rewinds.numpy()) + 1
    entry, curve = self.records.rewind(), self.history.planned
    state.rewind(count, guard.factor)
    step = int(state.global_step.numpy())
    self.history = self.records.history(entry, plan, step)
    self._for_pictures(plan, curve)
    scale = float(state.rate_scale.numpy())
    note = f"back to step {step} with learning rates x {scale:g}"
    note = f"{note} (rewind {count} of {guard.limit}): {error}"
    self.progress.warn(f"warning: {note}")
    self.records.begin_again(step, self.history, note)
