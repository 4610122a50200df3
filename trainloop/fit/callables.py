"""The caller's own callables: when they are called, and what with."""

import contextlib

from kernels import callables
from trainloop.model import rows as row_lib


class Callables:
  """The caller's callables, called on the host at windows' and epochs' ends.

  They get numbers, never tensors of the run. Where one raises, the fit ends
  after its window with a checkpoint, as after `TrainLoop.stop`; then that
  exception is raised from `fit`.

  Args:
    on_window: called with a dict after each window, or None; see `TrainLoop`.
    on_epoch: likewise after each epoch.
    callbacks: a `keras_callbacks.Callbacks`, or None.

  Raises:
    ValueError: if one can't be called.
  """

  def __init__(self, on_window=None, on_epoch=None, callbacks=None):
    pairs = (("on_window", on_window), ("on_epoch", on_epoch))
    for name, function in pairs:
      if function is not None:
        rule = "a callable on a dict, or None"
        callables.check(name, function, {}, rule=rule)
    self._on_window, self._on_epoch = on_window, on_epoch
    self._callbacks = callbacks
    self._turns = self._error = self._plan = None
    # Sum and number of the losses of the present epoch's applied updates.
    self._loss_sum, self._applied = 0.0, 0

  @property
  def at_windows(self):
    """Whether there is something to do at each window's end."""
    return self._on_window is not None or self.between_windows

  @property
  def between_windows(self):
    """Whether there is something to do while no window runs."""
    return self._callbacks is not None and self._callbacks.at_windows

  @property
  def at_epochs(self):
    """Whether windows must end where epochs do."""
    return self._on_epoch is not None or self._callbacks is not None

  @property
  def stop_requested(self):
    """Whether one of them raised, or asked to end the fit."""
    if self._error is not None:
      return True
    return self._callbacks is not None and self._callbacks.stop_requested

  def begin(self, model, turns, plan, epoch):
    """Calls the Keras callbacks' on_train_begin and on_epoch_begin.

    It comes before the first update that a process makes in a fit.

    Args:
      model: the keras.Model.
      turns: the loop's `Turns`.
      plan: the fit's `FitPlan`.
      epoch: the epoch of the next update, from 0.
    """
    self._turns, self._error, self._plan = turns, None, plan
    if self._callbacks is not None:
      last = plan.first_epoch + plan.epochs
      sizes = {"epochs": last, "steps": plan.steps_per_epoch, "verbose": 0}
      self._try(lambda: self._callbacks.begin(model, sizes, epoch), True)

  def window_begins(self, done):
    """Before a window that follows `done` updates of the run."""
    _, index = self._plan.position(done)
    if not index:
      self._loss_sum, self._applied = 0.0, 0
    self._try(lambda: self._callbacks.window_begins(index), True)

  def window(self, epoch, done, rows, layout):
    """After a window.

    Args:
      epoch: that its last update belongs to, from 1.
      done: updates of the run so far.
      rows: float32 (n, columns), n >= 1.
      layout: their `Layout`.
    """
    last = dict(zip(layout.names, map(float, rows[-1]), strict=True))
    if self.between_windows:
      self._tell_callbacks(done, rows, last)
    if self._on_window is not None:
      last["skipped"] = int(rows[:, row_lib.SKIPPED].sum())
      values = {"epoch": epoch, "step": done, "steps": len(rows), **last}
      self._try(lambda: self._on_window(values))

  def _tell_callbacks(self, done, rows, last):
    """on_train_batch_end with the mean loss of the epoch so far."""
    _, index = self._plan.position(done - 1)
    losses = rows[rows[:, row_lib.SKIPPED] == 0, row_lib.LOSS].tolist()
    self._loss_sum = sum(losses, self._loss_sum)
    self._applied += len(losses)
    mean = self._loss_sum / max(1, self._applied)
    moved = {name: last[name] for name in ("learning_rate", "momentum")}
    logs = {"loss": mean, **moved}
    self._try(lambda: self._callbacks.window(index, logs), True)

  def around_validation(self, measure):
    """What a validation measured, on_test_begin before and on_test_end after.

    Args:
      measure: a function without arguments that gives {name: float}.
    """
    if self._callbacks is not None:
      self._try(self._callbacks.validation_begins, True)
    measured = measure()
    if self._callbacks is not None:
      self._try(lambda: self._callbacks.validation_ends(measured), True)
    return measured

  def epoch(self, epoch, done, metrics, goes_on):
    """After an epoch.

    Args:
      epoch: which, from 1.
      done: updates of the run so far.
      metrics: {name: float}, those of validation with "val_" in front.
      goes_on: whether another epoch of the fit follows.
    """
    if self._on_epoch is not None:
      values = {"epoch": epoch, "step": done, **metrics}
      self._try(lambda: self._on_epoch(values), True)
    if self._callbacks is not None:
      from_0 = epoch - 1  # as Keras counts
      self._try(lambda: self._callbacks.epoch(from_0, metrics, goes_on), True)

  def end(self):
    """Calls the Keras callbacks' on_train_end, unless a callable has raised.

    It comes after the last update, with everything on the disk.

    Raises:
      The exception of a callable, if one raised.
    """
    if self._callbacks is not None:
      self._try(self._callbacks.end, True)
    error, self._error = self._error, None
    if error is not None:
      raise error

  def _try(self, call, rests=False):
    """Calls, unless one of them raised before; keeps what it raises.

    Args:
      call: a function without arguments.
      rests: whether no update is at work meanwhile.
    """
    if self._error is not None:
      return
    try:
      with self._turns.rest() if rests else contextlib.nullcontext():
        call()
    # Also an interrupt: the run is saved before it goes on.
    except BaseException as error:
      self._error = error
