"""Who is told what a fit did: history, records, terminal, callables."""

import typing

import numpy as np

from trainloop.compiled.window import Result
from trainloop.model import rows as row_lib
from trainloop.model.rows import row_of
from trainloop.workdir.fit_plan import epoch_number
from trainloop.workdir.history import nonfinite
from trainloop.workdir.speed import Speed, examples_of
from trainloop.workdir.tensorboard import event_file


class WindowReport(typing.NamedTuple):
  """A window that came back from the device.

  Attributes:
    first: updates done before it.
    began: when, in seconds since 1970.
    result: its `Result`, as NumPy.
    epoch_ends: rising numbers of updates in it after which an epoch ended.
  """

  first: int
  began: float
  result: Result
  epoch_ends: list


class Reporter:
  """Passes results of windows, validations and epochs on to where they go.

  These are the history, the records (row journal, TensorBoard), the terminal
  and the caller's callables. A window is reported while the device works on
  the next one. `done` is the count of updates done; scalars are recorded at
  the last of these updates, step `done - 1`, unless a method says otherwise.

  Args:
    request: the `FitRequest`.
    plan: the `FitPlan`.
    logged: the fit's `Logged`.
    state: the run's `TrainState`.
    evaluation: the `Evaluation`, of the metrics of an epoch's end.
    history: the fit's `History`.
    records: what the run writes; see `records`.
    host: the `Host`, of which progress and callables are told.
  """

  def __init__(
    self,
    request,
    plan,
    logged,
    state,
    evaluation,
    history,
    records,
    host,
  ):
    self._request, self._plan, self._logged = request, plan, logged
    self._metrics = evaluation
    self._has_scale = state.loss_scale is not None
    self._skipped = int(state.clock.skipped.numpy())
    self._history, self._records = history, records
    self._progress, self._callables = host.progress, host.callables
    self._speed = Speed(examples_of(request.source))
    self._deferred = None

  def begin(self, done):
    """Before the first window."""
    plan = self._plan
    self._progress.start(done, plan.end, plan.first_epoch + plan.epochs)

  def defer(self, report):
    """Holds a `WindowReport` until `catch_up`."""
    self._deferred = report

  def catch_up(self):
    """Tells of the deferred window, if there is one, and its epochs' ends."""
    if self._deferred is None:
      return
    first, began, result, ends = self._deferred
    # A copy: the whole buffer would stay in memory with the history.
    rows = result.rows[: result.done].copy()
    self._deferred = None
    self._history.add_rows(first, rows)
    self._records.rows(began, first, rows)
    if rows[:, row_lib.SKIPPED].any():
      self._warn_skipped(first, rows)
    if len(rows):
      self._show_window(first + len(rows), rows)
    if ends:
      self._end_epochs([first + end for end in ends], result)

  def close(self):
    """After the last window, whatever ended the fit."""
    self.catch_up()
    self._progress.clear()

  def end(self, done, reason):
    """The fit ended, or was left, after `done` updates."""
    self._add_speed(done, self._speed.rest())
    self._history.end(reason)

  def speed(self, done, updates, seconds):
    """A window of some updates took some seconds."""
    self._add_speed(done, self._speed.window(updates, seconds))

  def validation(self, done, metrics):
    """A validation.

    Args:
      done: updates done.
      metrics: {metric name: float}; empty where only training is judged.

    Returns:
      {"val_" + metric name: float}.
    """
    if metrics:
      # Where the loss of run `train` is a mean over many updates, as this is.
      means = {event_file.EPOCH_LOSS: metrics["loss"]}
      self._add_validation("validation", done, {**metrics, **means})
      bad = [name for name, value in metrics.items() if not np.isfinite(value)]
      if bad:
        text = f"warning: validation after update {done - 1}: not finite"
        self._progress.warn(f"{text}, never better: {', '.join(bad)}")
    named = self._history.add_validation(metrics)
    if not self._plan.ends_epoch(done):
      texts = [f"{name} {value:.4g}" for name, value in named.items()]
      self._progress.detail("  ".join([f"step {done}", *texts]))
    return named

  def _no_examples(self, done):
    """The validation's pass had no example."""
    text = f"warning: `validation` had no example after update {done - 1}"
    self._progress.warn(text)

  def best(self, done, best):
    """The validation after `done` updates is the best so far; `Judge.best`."""
    text = f"best {best['monitor']} so far: {best['value']:g}"
    epoch = epoch_number(self._plan, done)
    self._records.event(done - 1, "best", f"{text} (epoch {epoch})")

  def plateau(self, done, used, coming, goes_on):
    """Records the plateau's factor on the learning rates after a validation.

    Args:
      done: updates done.
      used: the factor of the last update done; recorded at that update.
      coming: the factor from now on; if new, recorded at the next update.
      goes_on: whether the fit has a next update.
    """
    self._add_validation("train", done, {event_file.SCALE: used})
    if coming != used and goes_on:
      update = done  # the first one that has it
      self._records.scalars("train", update, {event_file.SCALE: coming})
      text = f"learning rates x {coming:g} from step {update}"
      self._records.event(update, "plateau", text)
      self._progress.line(f"plateau: {text}")

  def epoch(self, done, training, loss_scale):
    """An epoch ended.

    Args:
      done: updates done.
      training: {metric name: float}.
      loss_scale: scalar, or None if there is none.

    Returns:
      {name: float}: its metrics, those of validation with "val_" in front.
    """
    # The tag `loss` of this run is each update's own.
    name = event_file.EPOCH_LOSS
    tags = {name if k == "loss" else k: v for k, v in training.items()}
    if loss_scale is not None:
      tags[event_file.LOSS_SCALE] = float(loss_scale)
    if self._logged.epoch(self._plan, done):
      self._records.scalars("train", done - 1, tags)
    epoch = epoch_number(self._plan, done)
    metrics = self._history.end_epoch(epoch, training)
    self._progress.epoch(epoch, done, metrics)
    return metrics

  def window_begins(self, done):
    """A window follows `done` updates; returns whether a callable wants to be
    told of it before the next one begins."""
    if self._callables.between_windows:
      self._callables.window_begins(done)
    return self._callables.between_windows

  def around_validation(self, done, evaluate):
    """What a validation after `done` updates measured, {name: float}; callables
    are told before and after, and where it has no example.

    Args:
      done: updates done.
      evaluate: gives it, called with what is to be called without an example.
    """
    return self._callables.around_validation(
      lambda: evaluate(lambda: self._no_examples(done))
    )

  @property
  def calls_at_epochs(self):
    """Whether a callable of the caller's is called at each epoch's end."""
    return self._callables.at_epochs

  def call_at_epoch(self, done, metrics, goes_on):
    """Calls the caller's callables at an epoch's end.

    Args:
      done: updates done.
      metrics: what `epoch` returned.
      goes_on: whether another epoch of the fit follows.
    """
    epoch = epoch_number(self._plan, done)
    self._callables.epoch(epoch, done, metrics, goes_on)

  def saved(self, done):
    """A checkpoint is being written."""
    self._progress.detail(f"checkpoint of step {done}")

  def _show_window(self, done, rows):
    """The rows of a window that came to `done` updates."""
    epoch = epoch_number(self._plan, done)
    self._progress.window(epoch, done, row_of(rows[-1]))
    if self._plan.inspects(done):
      tables = self._request.inspection.histograms.read()
      self._records.histograms(done - 1, tables)
    if self._callables.at_windows:
      self._callables.window(epoch, done, rows, self._records.layout)

  def _end_epochs(self, ends, result):
    """The epochs that ended inside a window, after so many updates each."""
    kinds, scales = result.metrics, None
    if self._has_scale:
      *kinds, scales = kinds
    columns = self._metrics.ended_metrics(result.losses, kinds)
    columns = {name: values.numpy() for name, values in columns.items()}
    for i, done in enumerate(ends):
      training = {name: float(values[i]) for name, values in columns.items()}
      self.epoch(done, training, None if scales is None else scales[i])

  def _warn_skipped(self, first, rows):
    """Counts the refused updates among the rows, and says so."""
    refused = np.flatnonzero(rows[:, row_lib.SKIPPED])
    for i in refused:
      self._skipped += 1
      # Beside the rows, and only where there is one: a column of zeros would
      # cost a fifth more bytes.
      count = {"skipped": self._skipped}
      self._records.scalars("train", first + int(i), count)
    last, row = refused[-1], row_of(rows[refused[-1]])
    update = f"update {first + last} was not finite ({nonfinite(row)})"
    count = f"{len(refused)} skipped, {self._skipped} so far"
    if self._has_scale and np.isfinite([row.learning_rate, row.loss]).all():
      count += "; a loss scale that is too large is halved"
    self._progress.warn(f"warning: {update}: {count}")

  def _add_speed(self, done, point):
    """A point of the speed's series, or None."""
    if point is not None:
      self._records.scalars("train", done - 1, point)

  def _add_validation(self, run, done, values):
    """Scalars of a validation, where the series has this one."""
    if self._logged.validation(self._plan, done):
      self._records.scalars(run, done - 1, values)
