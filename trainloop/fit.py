"""One fit on the host: windows, epochs, validation, stop."""

import dataclasses
import time
import typing

from trainloop.evaluation import Evaluation
from trainloop.fit_plan import FitPlan
from trainloop.history import History, NonFiniteError
from trainloop.pace import Pace
from trainloop.progress import Progress
from trainloop.records import NoRecords
from trainloop.state import TrainState
from trainloop.window import Window


@dataclasses.dataclass
class Fit:
  """Runs a `FitPlan`; everything in it was checked and built before.

  Between two windows the host only slices indices and hands rows on.
  """

  plan: FitPlan
  window: Window
  evaluate: typing.Callable
  metrics: Evaluation
  state: TrainState
  history: History
  strategy: typing.Any
  pace: Pace
  progress: Progress
  records: NoRecords

  def run(self, source, validation):
    """Trains until the plan's end or a stop.

    Args:
      source: data source of training, see `data`.
      validation: data source of validation, or None.

    Raises:
      NonFiniteError: if an update's loss or gradient is not finite.
    """
    plan, step = self.plan, int(self.state.global_step.numpy())
    stop = bool(
      self.state.judge.stop.numpy()
    )  # decided before a kill: stop at once
    self.progress.start(plan, step)
    while step < plan.end and not stop:
      step = self._window(step, source)
      if plan.validates(step):
        stop = self._validate(step, validation)
      if plan.ends_epoch(step) or stop:
        self._end_epoch(step)
      if plan.saves(step) and step < plan.end and not stop:
        self.records.save(self.history)
    self.history.stop_reason = "early_stopping" if stop else "completed"
    self.progress.finish(step, self.history.stop_reason)

  def _window(self, step, source):
    """One window from `step`; returns the step after it."""
    plan = self.plan
    epoch, inside = plan.position(step)
    n = min(self.pace.steps, plan.until_event(step), source.cut(inside))
    began, clock = time.time(), time.perf_counter()
    fed = source.training(self.strategy, epoch, inside, n)
    rows, done, refused = self.window(*fed)
    rows, done = rows.numpy(), int(done)  # the host waits for the device
    self.pace.record(n, time.perf_counter() - clock)
    self.history.add_rows(step, rows[:done])
    self.records.rows(began, step, rows[:done])
    if refused:
      _, _, loss, norm = rows[done]
      raise NonFiniteError(step + done, loss, norm)
    self.progress.window(epoch + 1, step + n, rows[-1])
    return step + n

  def _validate(self, step, validation):
    """Evaluates and judges after `step` updates; returns whether to stop."""
    found = {}
    if validation is not None:
      found = self.evaluate(validation)
      self.records.scalars("validation", step - 1, found)
    self.history.validated = {f"val_{name}": v for name, v in found.items()}
    values = {**self._training(), **self.history.validated}
    return self.state.judge.verdict(values, step - 1, self._epoch(step))

  def _end_epoch(self, step):
    """Records the epoch that ends, or is left, after `step` updates."""
    train = self._training()
    # The tag `loss` of this run is each update's own.
    tags = {"epoch_loss" if k == "loss" else k: v for k, v in train.items()}
    self.records.scalars("train", step - 1, tags)
    values, self.history.validated = {**train, **self.history.validated}, {}
    self.history.add_epoch({"epoch": self._epoch(step), **values})
    self.progress.epoch(self._epoch(step), step, values)
    self.metrics.reset()
    self.state.end_epoch()

  def _training(self):
    """{name: float}: training metrics of the epoch so far."""
    found = self.metrics.training_metrics(self.state.mean_loss())
    return {name: float(value) for name, value in found.items()}

  def _epoch(self, step):
    """The epoch that update `step - 1` belongs to, counted from 1."""
    return self.plan.position(step - 1)[0] + 1
