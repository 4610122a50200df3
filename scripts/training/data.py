"""Arrays of one task, and what their labels are."""

import dataclasses

import numpy as np

from cli.exits import DataError
from training import table_encoding


@dataclasses.dataclass(frozen=True)
class Data:
  """Arrays of one task.

  Attributes:
    x_train, y_train, x_val, y_val: NumPy arrays, examples first.
    outputs: units of the model's last layer: classes, 1 for two classes, or
      the targets of a regression.
    task: "classification" or "regression".
    own: whether it is a user's own, whose columns may have any scale.
    mean, scale: of a regression's training targets, a float a target; those in
      `y_train` and `y_val` are (target - mean) / scale.
    offset: what was subtracted from the columns of x, a float a column; empty
      for nothing. What a model takes has to be less that, too.
    classes: of a classification, what the labels 0, 1 ... stand for.
    table: the `table_encoding.Encoding` of a table that is more than numbers;
      None else.
  """

  x_train: np.ndarray
  y_train: np.ndarray
  x_val: np.ndarray
  y_val: np.ndarray
  outputs: int
  task: str
  own: bool = False
  mean: tuple = ()
  scale: tuple = ()
  offset: tuple = ()
  classes: tuple = ()
  table: table_encoding.Encoding | None = None

  @property
  def moments(self):
    """(means, variances) of a table's columns; None where none are needed."""
    x = self.x_train
    if not self.own or x.ndim != 2 or x.dtype.kind != "f":
      return None
    # One by one: NumPy would make a float64 copy of all.
    variances = np.array([one.var(dtype=np.float64) for one in x.T])
    means = np.array([one.mean(dtype=np.float64) for one in x.T])
    return means, np.where(variances > 0, variances, 1.0)

  @property
  def loss(self):
    """The name of the Keras loss for the task."""
    if self.task == "regression":
      return "mean_squared_error"
    sparse = "sparse_categorical_crossentropy"
    return "binary_crossentropy" if self.outputs == 1 else sparse

  def in_units(self, model):
    """The model that takes and predicts what the data's files have."""
    if self.task == "regression":
      import keras

      scale = keras.layers.Rescaling(list(self.scale), list(self.mean))
      model = keras.Sequential([model, scale])
    return model if self.table is None else self.table.raw(model)


def as_task(x_train, x_val, y_train, y_val, task):
  """Labels as class numbers, or as float targets of a regression."""
  y_train, y_val = (_labels(np.asarray(y)) for y in (y_train, y_val))
  fractional = y_train.dtype.kind == "f" and (y_train % 1 != 0).any()
  if task == "auto":
    several = fractional or y_train.ndim > 1
    task = "regression" if several else "classification"
  if task == "regression":
    return _regression(x_train, x_val, y_train, y_val)
  if y_train.ndim > 1 or y_train.dtype.kind not in "iubUSf":
    raise DataError(f"labels of shape {y_train.shape} are no classes")
  classes = np.unique(y_train)
  new = np.setdiff1d(y_val, classes)
  if len(new):
    label = new[0].item()
    label = int(label) if isinstance(label, float) else label
    text = f"{label!r} is a validation label but no training label"
    hint = "" if y_val.dtype.kind in "US" else "; numbers: --task=regression"
    raise DataError(text + hint)
  if len(classes) < 2:
    label = classes[0].item()
    raise DataError(f"the labels are all {label!r}: nothing to learn")
  names = tuple(_class_name(one) for one in classes.tolist())
  y_train, y_val = (np.searchsorted(classes, y) for y in (y_train, y_val))
  outputs = len(classes)
  if outputs == 2:
    y_train, y_val = (y[:, None].astype(np.float32) for y in (y_train, y_val))
    outputs = 1
  kind = "classification"
  return Data(x_train, y_train, x_val, y_val, outputs, kind, classes=names)


def _class_name(label):
  """A label as text; a float that is a whole number as files have it."""
  return str(int(label) if isinstance(label, float) else label)


def _labels(y):
  """(n, 1) as (n,), and one-hot rows as class numbers."""
  if y.ndim == 2 and y.shape[1] == 1:
    return y[:, 0]
  if y.ndim == 2 and ((y == 0) | (y == 1)).all() and (y.sum(1) == 1).all():
    return y.argmax(1)
  return y


def _regression(x_train, x_val, y_train, y_val):
  if y_train.dtype.kind not in "iufb":
    raise DataError(f"targets of a regression are numbers: {y_train[0]!r}")
  y_train, y_val = (
    y.reshape(len(y), -1).astype(np.float32) for y in (y_train, y_val)
  )
  # At their own scale a rate that suits one table is far off for another.
  mean, scale = y_train.mean(0), y_train.std(0)
  scale = np.where(scale > 0, scale, 1).astype(np.float32)
  return Data(
    x_train,
    (y_train - mean) / scale,
    x_val,
    (y_val - mean) / scale,
    y_train.shape[1],
    "regression",
    mean=tuple(map(float, mean)),
    scale=tuple(map(float, scale)),
  )
