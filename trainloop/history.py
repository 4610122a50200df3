"""What a fit leaves behind: rows, epochs, the reason it stopped."""

import numpy as np

from trainloop.window import COLUMNS


class NonFiniteError(ArithmeticError):
  """An update's loss or gradient was not finite; it was not applied.

  Attributes:
    step: 0-based global step of that update.
  """

  def __init__(self, step, loss=None, grad_norm=None, message=None):
    kept = f"those after step {step - 1}" if step else "the initial ones"
    super().__init__(
      message
      or f"update {step} is not finite (loss {loss}, gradient norm {grad_norm})"
      f"; it was not applied: the weights are {kept}"
    )
    self.step = step


class History:
  """The rows and epochs of one fit.

  Attributes:
    stop_reason: "completed", "early_stopping", ...; None while it runs.
    restored: whether all of it was in the workdir already.
    validated: {"val_...": float} of the epoch that is going on.
    handled: global step up to which validations and epoch ends are done.
  """

  def __init__(self):
    self.stop_reason = None
    self.restored = False
    self.validated, self.handled = {}, 0
    self._first, self._blocks, self._epochs = 0, [], []

  def add_rows(self, first_step, rows):
    """Appends a window's rows: float32 (n, len(COLUMNS))."""
    if not self._blocks:
      self._first = first_step
    self._blocks.append(rows)

  def add_epoch(self, values):
    """Appends an epoch: {name: number}, "epoch" among them."""
    self._epochs.append(values)

  @property
  def rows(self):
    """{"step", "learning_rate", "momentum", "loss", "grad_norm", "skipped"}:
    one entry an update; int64 and float32 arrays. Momentum is NaN where there
    is none; skipped is 1 where the update was not finite and passed over."""
    empty = np.zeros((0, len(COLUMNS)), np.float32)
    table = np.concatenate([empty, *self._blocks])
    self._blocks = [table]
    columns = {name: table[:, i] for i, name in enumerate(COLUMNS)}
    step = self._first + np.arange(len(table), dtype=np.int64)
    return {"step": step, **columns}

  @property
  def epochs(self):
    """{"epoch", "loss", ..., "val_loss", ...}: one entry an epoch, arrays; NaN
    in an epoch without validation."""
    names = list(dict.fromkeys(n for epoch in self._epochs for n in epoch))
    missing = float("nan")
    return {
      name: np.array([epoch.get(name, missing) for epoch in self._epochs])
      for name in names
    }

  def to_config(self):
    """All but the rows, as a dict of JSON types."""
    return {
      "stop_reason": self.stop_reason,
      "epochs": self._epochs,
      "validated": self.validated,
      "handled": self.handled,
    }

  @classmethod
  def from_config(cls, config, first_step=0, rows=None):
    """The history that `to_config` describes, with its rows if any."""
    history = cls()
    history.stop_reason = config["stop_reason"]
    history.validated = config["validated"]
    history.handled = config["handled"]
    for values in config["epochs"]:
      history.add_epoch(values)
    if rows is not None and len(rows):
      history.add_rows(first_step, rows)
    return history
