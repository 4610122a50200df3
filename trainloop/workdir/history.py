"""What a fit leaves behind: rows, epochs, the reason it stopped."""

import functools

import numpy as np

from trainloop.base import strict_json
from trainloop.display import fit_pictures, notebook


class NonFiniteError(ArithmeticError):
  """An update was not finite, and not applied: its loss or gradient, or the
  learning rate or momentum that the schedule gave for it.

  Args:
    step: 0-based global step of that update.
    message: what to say.

  Attributes:
    step: 0-based global step of that update.
  """

  def __init__(self, step, message):
    super().__init__(message)
    self.step = step

  def __reduce__(self):
    return type(self), (self.step, str(self))


def refused(step, row):
  """The `NonFiniteError` of an update.

  Args:
    step: its 0-based global step.
    row: its `Row`.
  """
  kept = f"those after step {step - 1}" if step else "the initial ones"
  text = f"update {step} is not finite ({nonfinite(row)}); it was not applied"
  return NonFiniteError(step, f"{text}: the weights are {kept}")


def with_weights(error, model):
  """The `NonFiniteError` of an update, which names a weight that is not finite
  either: an update before it made it so.

  Args:
    error: what `refused` gave.
    model: the keras.Model, as it is after the update before.
  """
  for weight in model.weights:
    if not np.isfinite(np.asarray(weight, np.float64)).all():
      text = f"{error}, where {weight.path} is not finite"
      return NonFiniteError(error.step, text)
  return error


def nonfinite(row):
  """Of a refused update's row, in words: what was not finite.

  Args:
    row: its `Row`.
  """
  gradient = f"loss {row.loss}, gradient norm {row.grad_norm}"
  rate, momentum = row.learning_rate, row.momentum
  parts = [] if np.isfinite(rate) else [f"learning rate {rate}"]
  finite = np.isfinite(row.loss) and np.isfinite(row.grad_norm)
  # Where the optimizer has none momentum is NaN, and nothing is wrong with it.
  if (finite and not parts) or np.isinf(momentum):
    parts.append(f"momentum {momentum}")
  return ", ".join([*parts, gradient])


class History:
  """The rows and epochs of one fit.

  A notebook shows its picture, or without matplotlib how the last epoch ended.

  Args:
    start: global step at which the fit begins.
    layout: the `Layout` of its rows.

  Attributes:
    stop_reason: "completed", "early_stopping", ...; "all_skipped" where each
      update of a whole fit was refused; None while it runs.
    restored: whether all of it was in the workdir already.
    handled: global step up to which validations and epoch ends are done.
    planned: gives the whole fit's `Outline` over global steps, for pictures;
      None without one.

  >>> layers = [keras.layers.Input((2,)), keras.layers.Dense(1)]
  >>> data = trainloop.ArrayData(np.ones((8, 2)), np.ones((8, 1)), batch_size=4)
  >>> loop = trainloop.TrainLoop(
  ...   keras.Sequential(layers),
  ...   keras.optimizers.SGD(),
  ...   "mse",
  ...   schedule=kernels.Linear(0.1, 0.0, 4),
  ...   verbose=False,
  ... )
  >>> history = loop.fit(data, epochs=2)
  >>> history.stop_reason, history.rows["learning_rate"]
  ('completed', array([0.1  , 0.075, 0.05 , 0.025], dtype=float32))
  """

  def __init__(self, start, layout):
    self.stop_reason, self._layout = None, layout
    self.restored = False
    self._validated, self.handled = {}, start
    self.planned = self._steps_per_epoch = None
    self._first, self._blocks, self._epochs = 0, [], []

  def follow(self, planned, steps_per_epoch):
    """The plan that its pictures draw; see `planned`."""
    self.planned, self._steps_per_epoch = planned, steps_per_epoch

  def handle(self, done):
    """What was due after `done` updates is done."""
    self.handled = done

  def add_validation(self, metrics):
    """A validation of the epoch that is going on.

    Args:
      metrics: {metric name: float}.

    Returns:
      {"val_" + metric name: float}.
    """
    self._validated = {f"val_{name}": v for name, v in metrics.items()}
    return dict(self._validated)

  def end(self, reason):
    """The fit ends, and why; it is not completed if no update was applied."""
    skipped = self.rows["skipped"] if reason == "completed" else np.zeros(1)
    applied = not len(skipped) or not skipped.all()
    self.stop_reason = reason if applied else "all_skipped"

  def __getstate__(self):
    # A user's schedule need not pickle; what it gave does.
    state = self.__dict__.copy()
    if self.planned is not None:
      state["planned"] = functools.partial(_itself, self.planned())
    return state

  def add_rows(self, first_step, rows):
    """Appends a window's rows: float32 (n, columns)."""
    if not self._blocks:
      self._first = first_step
    self._blocks.append(rows)

  def end_epoch(self, epoch, training):
    """Appends the epoch that was going on.

    Args:
      epoch: its number in the run, from 1.
      training: {metric name: float}.

    Returns:
      {name: float}: these, and those of its last validation.
    """
    metrics, self._validated = {**training, **self._validated}, {}
    self._epochs.append({"epoch": epoch, **metrics})
    return metrics

  @property
  def rows(self):
    """{"step", "learning_rate", "momentum", "loss", "grad_norm", "skipped"},
    and further hyperparameters by their names: one entry an update; int64 and
    float32 arrays. Momentum is NaN where there is none; skipped is 1 where the
    update was not finite and passed over."""
    empty = np.zeros((0, self._layout.width), np.float32)
    table = np.concatenate([empty, *self._blocks])
    self._blocks = [table]
    columns = {name: table[:, i] for i, name in enumerate(self._layout.names)}
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

  def plot(self, what, path):
    """Draws a part of the history into a PNG.

    Args:
      what: "loss": of each update, and of each epoch with validation;
        "learning_rate", "momentum" or another hyperparameter: as used, over
        the plan; or another metric's name, a value an epoch, with "val_"
        beside it.
      path: file to write.

    Raises:
      ValueError: if there is no such thing.
      OSError: if the file can't be written.
    """
    fit_pictures.save(path, what, self._told())

  def __repr__(self):
    updates, count = sum(map(len, self._blocks)), len(self._epochs)
    last = dict(self._epochs[-1]) if self._epochs else {}
    last.pop("epoch", None)
    return notebook.text(
      "History",
      self.stop_reason or "not ended",
      f"{updates} updates, {count} epochs",
      notebook.numbers(last),
    )

  def _repr_png_(self):
    if not any(map(len, self._blocks)):
      return None
    return notebook.png(lambda: fit_pictures.overview(self._told()))

  def _told(self):
    """What its pictures are drawn from."""
    each, further = self._steps_per_epoch, self._layout.further
    return fit_pictures.Told(
      self.rows, self.epochs, further, each, self.planned
    )

  def to_config(self):
    """All but the rows, as a dict of JSON types."""
    return {
      "stop_reason": self.stop_reason,
      "epochs": self._epochs,
      "validated": self._validated,
      "handled": self.handled,
    }

  @classmethod
  def from_config(cls, config, layout, first_step=0, rows=None, done=True):
    """The history that `to_config` describes.

    Args:
      config: what `to_config` gave.
      layout: the `Layout` of the rows.
      first_step: global step of the first row.
      rows: float32 (updates, columns), or None for no rows.
      done: whether the fit is over; if not, nothing has stopped it yet.
    """
    history = cls(config["handled"], layout)
    history.stop_reason = config["stop_reason"] if done else None
    history.restored = done
    history._validated = _numbers(config["validated"])
    history._epochs = [_numbers(values) for values in config["epochs"]]
    if rows is not None and len(rows):
      history.add_rows(first_step, rows)
    return history


def _numbers(values):
  """{name: number} as it was before it became JSON."""
  return {name: strict_json.number(value) for name, value in values.items()}


def _itself(value):
  return value
