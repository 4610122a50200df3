"""The windows of a fit: one runs on the device while the next is made ready."""

import dataclasses
import time
import typing
from concurrent import futures

from trainloop.compiled.window import Window
from trainloop.fit.reporter import WindowReport
from trainloop.model.rows import row_of
from trainloop.workdir.history import refused


class Ready(typing.NamedTuple):
  """A window that can be called.

  Attributes:
    window: the compiled `Window`.
    updates: how many it does.
    batches: what it reads; see `protocol`.
    epoch_ends: rising numbers of updates in (0, updates) after which an epoch
      ends.
  """

  window: Window
  updates: int
  batches: typing.Any
  epoch_ends: list


class Pipeline:
  """Runs the windows of a `FitPlan` once, from the present step on.

  Between two windows the host only slices indices and hands rows on: all it
  needs was checked and built before. A thread of its own waits for the device.

  Args:
    request: the `FitRequest`.
    plan: the `FitPlan`.
    trainee: the loop's `Trainee`.
    boundary: the `Boundary`: what is due between two windows.
    reporter: the `Reporter`: who is told of them.
    consensus: the `Consensus`: whether to stop, on all workers alike.
    window_length: the `WindowLength`.
    profile: the `Profile`.
  """

  def __init__(
    self,
    request,
    plan,
    trainee,
    boundary,
    reporter,
    consensus,
    window_length,
    profile,
  ):
    self._request, self._plan = request, plan
    self._strategy, self._state = trainee.strategy, trainee.state
    self._boundary, self._reporter = boundary, reporter
    self._consensus = consensus
    self._window_length, self._profile = window_length, profile
    self._device = futures.ThreadPoolExecutor(1)
    self._ready = None  # the next window, where it could be made ready

  def run(self):
    """Trains until the plan's end or a stop; returns the updates done.

    Raises:
      NonFiniteError: if an update is not finite.
    """
    self._boundary.begin()
    self._reporter.begin(int(self._state.global_step.numpy()))
    with self._device:
      try:
        reason, done = self._loop()
      finally:
        self._profile.stop()
        self._reporter.close()
    self._reporter.end(done, reason)
    return done

  def _loop(self):
    """Windows and boundaries; returns (why it stops, updates done)."""
    done = int(self._state.global_step.numpy())
    # A stop that was decided before a kill stops at once.
    stop = self._state.judge.stop_reason
    while True:
      if self._boundary.is_due(done):
        stop = self._boundary.after(done)
      if stop or done == self._plan.end:
        return stop or "completed", done
      # A run may be left between a window and the validation after it.
      if not self._consensus.stop_requested:
        done = self._window(done)
      if self._consensus.stop_requested:
        self._reporter.catch_up()
        self._boundary.note_position(done)
        return "preempted", done

  def _window(self, done):
    """Runs the window that follows `done` updates; returns the updates done.

    While the device works, the host tells of the window before and makes the
    one that follows ready.
    """
    ready = self._ready or self._prepare(done)
    self._profile.before(done)
    waits = self._reporter.window_begins(done)
    running = self._device.submit(self._call, ready)
    self._reporter.catch_up()
    after, self._ready = done + ready.updates, None
    try:
      if after < self._plan.end:
        self._ready = self._prepare(after)
    finally:  # an interrupt must not lose the rows of updates that were done
      result, began, seconds = running.result()
      ends = [end for end in ready.epoch_ends if end <= result.done]
      self._reporter.defer(WindowReport(done, began, result, ends))
    self._end_window(done, ready, result, seconds)
    if waits:
      self._reporter.catch_up()
    return after

  def _prepare(self, done):
    """The window that follows `done` updates, `Ready`."""
    plan, request = self._plan, self._request
    epoch, inside = plan.position(done)
    longest = min(self._window_length.updates, request.limits.updates)
    n = min(longest, plan.until_event(done), request.source.cut(inside))
    n = plan.with_ends(done, n, request.window.capacity.ends)
    inspected = plan.inspects(done + 1)
    return Ready(
      window=request.inspection.window if inspected else request.window,
      updates=n,
      batches=request.source.training(self._strategy, epoch, inside, n),
      epoch_ends=plan.ends_inside(done, n),
    )

  def _call(self, ready):
    """Runs a window, on the thread that waits for the device.

    Returns:
      (its `Result` as NumPy, when it began, the seconds that it took).
    """
    began, clock = time.time(), time.perf_counter()
    table = self._request.table
    result = ready.window(table, ready.batches, ready.epoch_ends)
    result = dataclasses.replace(
      result,
      rows=result.rows.numpy(),  # waits for the device
      losses=result.losses.numpy(),
      metrics=[values.numpy() for values in result.metrics],
      done=int(result.done),
      halted=bool(result.halted),
    )
    seconds = self._consensus.settle(time.perf_counter() - clock)
    return result, began, seconds

  def _end_window(self, done, ready, result, seconds):
    """After a window that followed `done` updates.

    Raises:
      NonFiniteError, ValueRangeError: if an update was refused in it.
    """
    after = done + result.done
    self._profile.after(after)
    if ready.window is self._request.window:
      self._window_length.record(ready.updates, seconds)
    self._reporter.speed(after, result.done, seconds)
    if result.halted or self._plan.until_event(done) == ready.updates:
      self._reporter.catch_up()
    if result.halted:
      ready.window.check(result, done)
      raise refused(after, row_of(result.rows[result.done]))
