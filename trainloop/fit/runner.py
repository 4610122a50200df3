"""A fit from where it begins or goes on to its end, over rewinds."""

import contextlib
import functools

from trainloop.display import results, summary
from trainloop.fit import introduction, nonfinite_policy, schedules
from trainloop.fit.boundary import Boundary
from trainloop.fit.consensus import Consensus
from trainloop.fit.pipeline import Pipeline
from trainloop.fit.reporter import Reporter
from trainloop.model.bounds import ValueRangeError
from trainloop.workdir import profiler
from trainloop.workdir.history import NonFiniteError, with_weights
from trainloop.workdir.tensorboard import logged, panel


class FitRunner:
  """Runs a new fit, or the rest of one that the workdir remembers.

  Args:
    trainee: the loop's `Trainee`.
    programs: its `Programs`.
    host: the loop's `Host`.
    records: what the run writes; see `records`.
    request: the `FitRequest`.
    entry: what the records remember of the fit.

  Attributes:
    history: the fit's `History`; another one after each rewind.

  Raises:
    ValueError: if its schedule does not fit its length.
  """

  def __init__(self, trainee, programs, host, records, request, entry):
    self._trainee, self._programs = trainee, programs
    self._host, self._records = host, records
    self._request, self._entry = request, entry
    self._progress, self._options = host.progress, host.options
    self._plan = plan = schedules.plan(
      trainee,
      entry.origin,
      entry.terms.lengths,
      request.schedule,
      request.limits.wake_every,
      host.options.extras.profile or (),
    )
    self._logged = logged.of(entry.terms.log_every, plan)
    self._profile = profiler.of(
      records.workdir, host.options.extras.profile, host.progress.warn
    )
    # A history outlives its loop, so it must not hold the trainee.
    own = trainee.binding.momentum
    self._curve = functools.partial(
      schedules.curve, plan, request.schedule, own, trainee.binding.groups
    )
    self.history = self._new_history(entry)

  def run(self):
    """Runs the fit; goes back to a checkpoint where `on_nonfinite` says so.

    Returns:
      Whether the fit is finished; False after a stop, to be resumed later.

    Raises:
      NonFiniteError: if an update is not finite and `on_nonfinite` says so.
      ValueRangeError: if ids or labels of a batch are out of range.
      What a callable raised, with everything on the disk.
    """
    if self.history.restored:
      reason = self.history.stop_reason
      self._progress.line(f"this fit is done: {reason}")
      # Data that goes on in the next fit counts from the first that had it.
      plan = self._plan
      self._request.source.begin(plan.first_epoch, epochs=plan.epochs)
      return True
    self._introduce()
    self._compile()
    self._begin()
    done = self._train()
    if self.history.stop_reason == "preempted":
      self._leave(done)
      return False
    self._finish(done)
    return True

  @property
  def _done(self):
    """Updates done, as the state counts them."""
    return int(self._trainee.state.global_step.numpy())

  def _new_history(self, entry):
    history = self._records.history(entry, self._plan, self._done)
    history.follow(self._curve, self._plan.steps_per_epoch)
    return history

  def _introduce(self):
    """Shows what is going to be done."""
    plan, profile = self._plan, self._options.extras.profile
    self._progress.introduce(
      lambda: summary.of_loop(introduction.of_loop(self._trainee)),
      lambda: summary.of_fit(
        introduction.of_fit(
          self._trainee,
          self._programs.engine,
          self._request,
          plan,
          self._logged,
          self._records.workdir,
        )
      ),
    )
    if profile and profile[1] > plan.end:
      steps, end = f"{profile[0]}:{profile[1]}", f"ends at step {plan.end}"
      self._progress.warn(
        f"warning: profile {steps} is not all in this fit, which {end}"
      )
    lengths = self._request.terms.lengths
    for name, steps in lengths.never_due().items():
      self._progress.warn(
        f"warning: `{name}` is {steps} steps, and this fit has "
        f"{lengths.updates}: none comes before its end"
      )
    if self._records.goes_on:
      self._progress.line(f"goes on at step {self._done} of {plan.end}")

  def _compile(self):
    """What was left to the fit that has updates to do."""
    request = self._request
    self._programs.compile(request.table, request.source, request.validation)

  def _begin(self):
    """All that comes before the first update of this process."""
    trainee, plan, done = self._trainee, self._plan, self._done
    trainee.state.average.go_on()
    page = panel.of(
      trainee,
      self._programs.engine,
      plan,
      self._entry.terms.identity,
      self._request.schedule,
      self._request.source,
      self._options.extras,
    )
    self._records.begin(plan, done, self._curve, self.history, page)
    epoch, _ = plan.position(done)
    self._host.callables.begin(trainee.model, trainee.turns, plan, epoch)

  def _train(self):
    """Runs the plan to its end or a stop; returns the updates done."""
    while True:
      try:
        return self._pipeline().run()
      except ValueRangeError:
        self._leave_broken()
        raise
      except NonFiniteError as error:
        if not self._may_rewind():
          self._leave_broken()
          raise with_weights(error, self._trainee.model) from None
        self._rewind(error)

  def _pipeline(self):
    """The `Pipeline` of the updates that are left."""
    request, plan, trainee = self._request, self._plan, self._trainee
    records, history = self._records, self.history
    consensus = Consensus(trainee.workers, self._stop_requested, records)
    reporter = Reporter(
      request,
      plan,
      self._logged,
      trainee.state,
      self._programs.evaluation,
      history,
      records,
      self._host,
    )
    boundary = Boundary(
      request,
      plan,
      trainee.state,
      self._programs,
      history,
      records,
      reporter,
      consensus,
    )
    return Pipeline(
      request,
      plan,
      trainee,
      boundary,
      reporter,
      consensus,
      self._host.window_length,
      self._profile,
    )

  def _stop_requested(self):
    return self._host.stop.is_set() or self._host.callables.stop_requested

  def _leave_broken(self):
    """Saves the state before an update that ends the fit by an error."""
    with contextlib.suppress(NonFiniteError):
      self._records.leave(self._done, self.history)

  def _may_rewind(self):
    guard, state = self._options.guard, self._trainee.state
    if not isinstance(guard, nonfinite_policy.Rewind):
      return False
    return int(state.rewinds.numpy()) < guard.limit

  def _rewind(self, error):
    """Goes back to the last checkpoint, and saves that it was done."""
    guard, state = self._options.guard, self._trainee.state
    count = int(state.rewinds.numpy()) + 1
    entry = self._records.rewind()
    state.rewind(count, guard.factor)
    self.history = self._new_history(entry)
    scale = float(state.rate_scale.numpy())
    note = f"back to step {self._done} with learning rates x {scale:g}"
    note = f"{note} (rewind {count} of {guard.limit}): {error}"
    self._progress.warn(f"warning: {note}")
    self._records.begin_again(self._done, self.history, note)

  def _leave(self, done):
    """After a stop: it can go on from here."""
    self._records.leave(done, self.history)
    self._trainee.state.show()
    self._progress.finish(done, self.history.stop_reason)
    self._host.stop.clear()
    self._host.callables.end()

  def _finish(self, done):
    """After the last update: the weights that stay, and what came of it."""
    state = self._trainee.state
    weights = state.finish()
    self._records.finish(done, self.history)
    lines = results.result(self.history.epochs, state.judge.best, weights)
    self._progress.finish(done, self.history.stop_reason, lines)
    self._host.callables.end()
