"""One fit on the host: windows, epochs, validation, stop."""

import dataclasses
import time
import typing
from concurrent import futures

import numpy as np
import tensorflow as tf

from trainloop.compiled.evaluation import Evaluation
from trainloop.compiled.histograms import Histograms
from trainloop.compiled.window import Window
from trainloop.display.terminal import Progress
from trainloop.fit.callables import Actions
from trainloop.fit.consensus import Accord
from trainloop.fit.window_length import Pace
from trainloop.model import rows as row_lib
from trainloop.model.rows import Row
from trainloop.model.state import TrainState
from trainloop.workdir.fit_plan import FitPlan
from trainloop.workdir.history import History, nonfinite, refused
from trainloop.workdir.no_records import NoRecords
from trainloop.workdir.profiler import Profile
from trainloop.workdir.speed import Speed, examples_of
from trainloop.workdir.tensorboard import event_file
from trainloop.workdir.tensorboard.logged import Logged


@dataclasses.dataclass
class Fit:
  """Runs a `FitPlan`; everything in it was checked and built before.

  Between two windows the host only slices indices and hands rows on.
  """

  plan: FitPlan
  logged: Logged
  window: Window
  evaluate: typing.Callable
  metrics: Evaluation
  state: TrainState
  history: History
  strategy: typing.Any
  pace: Pace
  progress: Progress
  records: NoRecords
  accord: Accord
  actions: Actions
  profile: Profile
  # Of the updates that histograms are of, and what it sees; None for none.
  seeing: Window | None = None
  histograms: Histograms | None = None

  def run(self, source, validation):
    """Trains until the plan's end or a stop; returns the step it came to.

    Args:
      source: data source of training, see `data`.
      validation: data source of validation, or None.

    Raises:
      NonFiniteError: if an update is not finite.
    """
    self._ready = self._unwritten = None
    plan = self.plan
    source.begin(plan.first_epoch, self.records.position, plan.epochs)
    self._skipped = int(self.state.skipped.numpy())
    self._speed = Speed(examples_of(source))
    self.progress.start(plan, int(self.state.global_step.numpy()))
    with futures.ThreadPoolExecutor(1) as self._device:
      try:
        reason, step = self._loop(source, validation)
      finally:
        self.profile.stop()
        self._write()
        self.progress.clear()
    self._show_speed(step, self._speed.rest())
    self.history.end(reason)
    return step

  def _loop(self, source, validation):
    """Windows and events; returns (why it stops, last step)."""
    plan, step = self.plan, int(self.state.global_step.numpy())
    # A stop that was decided before a kill stops at once.
    stop = self.state.judge.stop_reason
    while True:
      if self.history.handled < step:
        stop = self._handle(step, source, validation)
      if stop or step == plan.end:
        return stop or "completed", step
      # A run may be left between a window and the validation after it.
      if not self.accord.stop_asked:
        step = self._window(step, source)
      if self.accord.stop_asked:
        self._write()
        self._note_position(step, source)
        return "preempted", step

  def _note_position(self, step, source):
    """What the next checkpoint holds of the data's position."""
    self.records.keep_position(source.position(*self.plan.position(step)))

  def _handle(self, step, source, validation):
    """What is due after `step` updates; returns why to stop, or None."""
    plan, stop = self.plan, None
    if plan.ends_cycle(step) or plan.validates(step):
      with self.state.average.shown(step):
        stop = self._look(step, validation)
    if plan.ends_epoch(step) or stop:
      self._end_epoch(step, stop)
    self.history.handled = step
    due = plan.saves(step) or self.accord.owes_save
    if due and step < plan.end and not stop:
      self._write()
      self._note_position(step, source)
      self.records.save(step, self.history)
      self.progress.detail(f"checkpoint of step {step}")
    return stop

  def _look(self, step, validation):
    """What is kept and judged of the weights; returns why to stop, or None."""
    if self.plan.ends_cycle(step):
      self.state.judge.end_cycle(tf.constant(step - 1, tf.int64))
    due = self.plan.validates(step)
    return self._validate(step, validation) if due else None

  def _window(self, step, source):
    """One window from `step`; returns the step after it.

    While the device works, the host writes the rows of the window before and
    prepares the one that follows.
    """
    n, fed = self._ready or self._prepare(step, source)
    self.profile.before(step)
    running = self._device.submit(self._call, fed)
    self._write()
    after, self._ready = step + n, None
    try:
      if after < self.plan.end:
        self._ready = self._prepare(after, source)
    finally:  # an interrupt must not lose the rows of updates that were done
      found, began, seconds = running.result()
      done = found.done
      ended = [end for end in self.plan.ends_inside(step, n) if end <= done]
      self._unwritten = (step, began, found, ended)
    self.profile.after(step + done)
    if fed[0] is self.window:
      self.pace.record(n, seconds)
    self._show_speed(step + done, self._speed.window(done, seconds))
    if found.halted or self.plan.until_event(step) == n:
      self._write()
    if found.halted:
      fed[0].check(found, step)
      raise refused(step + done, Row(*found.rows[done]))
    return after

  def _prepare(self, step, source):
    """(updates of the window from `step`, the `Window` and what it takes)."""
    epoch, inside = self.plan.position(step)
    until = self.plan.until_event(step)
    limits = self.window.limits
    n = min(self.pace.steps, limits.updates, until, source.cut(inside))
    n = self.plan.with_ends(step, n, limits.ends)
    ends = self.plan.ends_inside(step, n)
    window = self.seeing if self.plan.inspects(step + 1) else self.window
    batches = source.training(self.strategy, epoch, inside, n)
    return n, (window, batches, ends)

  def _call(self, fed):
    """Runs a window; on the thread that waits for the device."""
    began, clock = time.time(), time.perf_counter()
    window, *given = fed
    found = window(*given)
    found = dataclasses.replace(
      found,
      rows=found.rows.numpy(),  # waits for the device
      losses=found.losses.numpy(),
      metrics=[values.numpy() for values in found.metrics],
      done=int(found.done),
      halted=bool(found.halted),
    )
    seconds = self.accord.settle(time.perf_counter() - clock)
    return found, began, seconds

  def _write(self):
    """Hands the rows of the last window on, and the epochs that ended in it."""
    if self._unwritten is None:
      return
    step, began, found, ended = self._unwritten
    # A copy: the whole buffer would stay in memory with the history.
    rows = found.rows[: found.done].copy()
    self._unwritten = None
    self.history.add_rows(step, rows)
    self.records.rows(began, step, rows)
    if rows[:, row_lib.SKIPPED].any():
      self._tell_skipped(step, rows)
    if len(rows):
      last = step + len(rows)
      self.progress.window(self._epoch(last), last, Row(*rows[-1]))
      if self.plan.inspects(last):
        self.records.histograms(last - 1, self.histograms.read())
      if self.actions.at_windows:
        self.actions.window(self._epoch(last), last, rows)
    if ended:
      self._write_epochs([step + end for end in ended], found)

  def _write_epochs(self, ends, found):
    """Records the epochs that ended inside a window, after these steps."""
    kept, scales = found.metrics, None
    if self.state.loss_scale is not None:
      *kept, scales = kept
    values = self.metrics.ended_metrics(found.losses, kept)
    values = {name: value.numpy() for name, value in values.items()}
    for k, end in enumerate(ends):
      train = {name: float(value[k]) for name, value in values.items()}
      self._record_epoch(end, train, None if scales is None else scales[k])

  def _show_speed(self, step, point):
    """A point of the speed's series, or None, after `step` updates."""
    if point is not None:
      self.records.scalars("train", step - 1, point)

  def _tell_skipped(self, step, rows):
    """Counts the refused updates among the rows from `step`, and says so."""
    found = np.flatnonzero(rows[:, row_lib.SKIPPED])
    for i in found:
      self._skipped += 1
      # Beside the rows, and only where there is one: a column of zeros would
      # cost a fifth more bytes.
      count = {"skipped": self._skipped}
      self.records.scalars("train", step + int(i), count)
    last, row = found[-1], Row(*rows[found[-1]])
    which = f"update {step + last} was not finite ({nonfinite(row)})"
    count = f"{len(found)} skipped, {self._skipped} so far"
    if (
      self.state.loss_scale is not None
      and np.isfinite([row.learning_rate, row.loss]).all()
    ):
      count += "; a loss scale that is too large is halved"
    self.progress.warn(f"warning: {which}: {count}")

  def _validate(self, step, validation):
    """Evaluates and judges after `step` updates; returns why to stop."""
    if validation is None and not self.state.judge.monitors:
      return None
    found = {} if validation is None else self.evaluate(validation)
    if found:
      # Where the loss of run `train` is a mean over many updates, as this is.
      means = {event_file.EPOCH_LOSS: found["loss"]}
      self._show_validation("validation", step, {**found, **means})
      bad = [name for name, value in found.items() if not np.isfinite(value)]
      if bad:
        text = f"warning: validation after update {step - 1}: not finite"
        self.progress.warn(f"{text}, never better: {', '.join(bad)}")
    self.history.validated = {f"val_{name}": v for name, v in found.items()}
    if not self.plan.ends_epoch(step):
      shown = [f"{name} {v:.4g}" for name, v in self.history.validated.items()]
      self.progress.detail("  ".join([f"step {step}", *shown]))
    values = {**self._training(), **self.history.validated}
    judge, used = self.state.judge, float(self.state.judge.scale.numpy())
    epoch, flags = self._epoch(step), self.plan.flags(step)
    stop = judge.verdict(values, step - 1, epoch, **flags)
    if int(judge.best_step.numpy()) == step - 1:
      best = judge.best
      text = f"best {best['monitor']} so far: {best['value']:g}"
      self.records.event(step - 1, "best", f"{text} (epoch {epoch})")
    if judge.reduce_on_plateau is not None:
      self._show_scale(step, used, stop)
    return stop

  def _show_validation(self, run, step, values):
    """Scalars of the validation after `step` updates."""
    if self.logged.validation(self.plan, step):
      self.records.scalars(run, step - 1, values)

  def _show_scale(self, step, used, stop):
    """The plateau scale's own series: where it was used, where it changes."""
    self._show_validation("train", step, {event_file.SCALE: used})
    now = float(self.state.judge.scale.numpy())
    if now != used and step < self.plan.end and not stop:
      self.records.scalars("train", step, {event_file.SCALE: now})
      text = f"learning rates x {now:g} from step {step}"
      self.records.event(step, "plateau", text)
      self.progress.line(f"plateau: {text}")

  def _end_epoch(self, step, stop):
    """Ends the epoch that is over, or left to `stop`, after `step` updates."""
    scale = self.state.loss_scale
    scale = None if scale is None else scale.value.numpy()
    values = self._record_epoch(step, self._training(), scale)
    if self.actions.at_epochs:
      goes_on = step < self.plan.end and not stop
      with self.state.average.shown(step):
        self.actions.epoch(self._epoch(step), step, values, goes_on)
    self.metrics.reset()
    self.state.end_epoch()

  def _record_epoch(self, step, train, scale):
    """Records the epoch that ends after `step` updates: its metrics, which it
    returns, and the loss scale, None if there is none."""
    # The tag `loss` of this run is each update's own.
    name = event_file.EPOCH_LOSS
    tags = {name if k == "loss" else k: v for k, v in train.items()}
    if scale is not None:
      tags[event_file.LOSS_SCALE] = float(scale)
    if self.logged.epoch(self.plan, step):
      self.records.scalars("train", step - 1, tags)
    values, self.history.validated = {**train, **self.history.validated}, {}
    self.history.add_epoch({"epoch": self._epoch(step), **values})
    self.progress.epoch(self._epoch(step), step, values)
    return values

  def _training(self):
    """{name: float}: training metrics of the epoch so far."""
    found = self.metrics.training_metrics(self.state.mean_loss())
    return {name: float(value) for name, value in found.items()}

  def _epoch(self, step):
    """The epoch that update `step - 1` belongs to, counted from 1."""
    return self.plan.position(step - 1)[0] + 1
