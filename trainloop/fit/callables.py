"""What a user's own callables are told at windows' and epochs' ends."""

import contextlib

from kernels import callables
from trainloop.model import rows as row_lib


class Actions:
  """A user's host actions: when they come is settled here, what is theirs.

  They run on the host between the updates and are told numbers, never tensors
  of the run. One that raises does not tear the run: it ends after its window
  as at `TrainLoop.stop`, with a checkpoint, and then what was raised goes on.

  Args:
    on_window: called with a dict after each window, or None; see `TrainLoop`.
    on_epoch: likewise after each epoch.
    callbacks: a `keras_callbacks.Callbacks`, or None.

  Attributes:
    turns: the loop's `Turns`.

  Raises:
    ValueError: if one can't be called.
  """

  def __init__(self, on_window=None, on_epoch=None, callbacks=None):
    for name, action in (("on_window", on_window), ("on_epoch", on_epoch)):
      if action is not None:
        rule = "a callable on a dict, or None"
        callables.check(name, action, {}, rule=rule)
    self._on_window, self._on_epoch = on_window, on_epoch
    self._callbacks = callbacks
    self.turns = self._error = None

  @property
  def at_windows(self):
    """Whether there is something to do at each window's end."""
    return self._on_window is not None

  @property
  def at_epochs(self):
    """Whether windows must end where epochs do."""
    return self._on_epoch is not None or self._callbacks is not None

  @property
  def stop_asked(self):
    """Whether one of them raised, or asked to end the fit."""
    asked = self._callbacks is not None and self._callbacks.stop_asked
    return asked or self._error is not None

  def begin(self, model, plan, epoch):
    """Before the first update of a process in a fit.

    Args:
      model: the keras.Model.
      plan: the fit's `FitPlan`.
      epoch: the epoch that goes on, from 0.
    """
    self._error = None
    if self._callbacks is not None:
      last = plan.first_epoch + plan.epochs
      sizes = {"epochs": last, "steps": plan.steps_per_epoch, "verbose": 0}
      self._try(lambda: self._callbacks.begin(model, sizes, epoch), True)

  def window(self, epoch, step, rows):
    """After a window.

    Args:
      epoch: that its last update belongs to, from 1.
      step: updates of the run so far.
      rows: float32 (n, `rows.WIDTH`), n >= 1.
    """
    last = row_lib.Row(*map(float, rows[-1]))._asdict()
    last["skipped"] = int(rows[:, row_lib.SKIPPED].sum())
    told = {"epoch": epoch, "step": step, "steps": len(rows), **last}
    self._try(lambda: self._on_window(told))

  def epoch(self, epoch, step, values, goes_on):
    """After an epoch.

    Args:
      epoch: which, from 1.
      step: updates of the run so far.
      values: {name: float}, those of validation with "val_" in front.
      goes_on: whether another epoch of the fit follows.
    """
    if self._on_epoch is not None:
      told = {"epoch": epoch, "step": step, **values}
      self._try(lambda: self._on_epoch(told), True)
    if self._callbacks is not None:
      told = epoch - 1, values, goes_on
      self._try(lambda: self._callbacks.epoch(*told), True)

  def end(self):
    """After the last update, with everything on the disk.

    Raises:
      What an action raised.
    """
    if self._callbacks is not None:
      self._try(self._callbacks.end, True)
    error, self._error = self._error, None
    if error is not None:
      raise error

  def _try(self, call, rests=False):
    """Calls, unless an action raised before; keeps what it raises.

    Args:
      call: a function without arguments.
      rests: whether no update is at work meanwhile.
    """
    if self._error is not None:
      return
    try:
      with self.turns.rest() if rests else contextlib.nullcontext():
        call()
    # Also an interrupt: the run is saved before it goes on.
    except BaseException as error:
      self._error = error
