"""Real data for the scripts: x and y for training and validation."""

import dataclasses
import os

import numpy as np

from cli import verbosity
from cli.exits import DataError
from training import csv_table
from training.npz_file import NpzFile

NAMES = (
  "digits",
  "mnist",
  "fashion_mnist",
  "imdb",
  "ionosphere",
  "npz",
  "csv",
)
# These have no other source than --data_path.
NEED_PATH = ("ionosphere", "npz", "csv")


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

  @property
  def moments(self):
    """(means, variances) of a table's columns; None where none are needed."""
    x = self.x_train
    if not self.own or x.ndim != 2 or x.dtype.kind != "f":
      return None
    variances = x.var(0, np.float64)
    return x.mean(0, np.float64), np.where(variances > 0, variances, 1.0)

  @property
  def loss(self):
    """The name of the Keras loss for the task."""
    if self.task == "regression":
      return "mean_squared_error"
    sparse = "sparse_categorical_crossentropy"
    return "binary_crossentropy" if self.outputs == 1 else sparse

  def in_units(self, model):
    """The model that predicts targets as the data has them."""
    if self.task == "classification":
      return model
    import keras

    scale = keras.layers.Rescaling(list(self.scale), list(self.mean))
    return keras.Sequential([model, scale])


def load(name, path, validation_fraction, num_words, max_length, task):
  """Loads a dataset.

  Args:
    name: one of `NAMES`.
    path: file to read, or None for the dataset's own source.
    validation_fraction: share of the examples that is held out, by a fixed
      shuffle, where the dataset has no validation part of its own.
    num_words: IMDB: most frequent words kept; the others become "unknown".
    max_length: IMDB: last words of a review that are kept.
    task: "classification", "regression", or "auto" by the labels.

  Returns:
    A `Data`.

  Raises:
    DataError: if the file does not hold what it should.
  """
  if path is not None and not os.path.isfile(path):
    raise DataError(f"--data_path={path} is not a file")
  if name == "digits":
    from sklearn import datasets

    x, y = datasets.load_digits(return_X_y=True)
    parts = _split((x / 16).astype(np.float32), y, validation_fraction)
  elif name in ("ionosphere", "csv"):
    parts = _split(*csv_table.read(path), validation_fraction)
  else:
    parts = _read_parts(name, path, validation_fraction)
  _check_parts(path, parts)
  if name in ("mnist", "fashion_mnist") and parts[0].shape[1:] != (28, 28):
    shape = parts[0].shape[1:]
    raise DataError(f"--dataset={name}: examples must be (28, 28); got {shape}")
  if name == "imdb":
    parts = [*_words(parts[:2], num_words, max_length), *parts[2:]]
  elif parts[0].dtype == np.uint8:
    parts = [*(part.astype(np.float32) / 255 for part in parts[:2]), *parts[2:]]
  own, offset = name in ("csv", "npz"), ()
  if own:
    *parts[:2], offset = _offset(*parts[:2])
  data = _as_task(*parts, task)
  return dataclasses.replace(data, own=own, offset=offset)


def _offset(x_train, x_val):
  """(x_train, x_val, offset): float32, large columns less their mean.

  float32 has 7 digits: of seconds since 1970 it keeps steps of 128. Only where
  it would lose a thousandth of a column's deviation something is subtracted.
  """
  if x_train.ndim != 2 or x_train.dtype != np.float64:
    return x_train, x_val, ()
  with np.errstate(over="ignore", invalid="ignore"):
    steps = np.spacing(np.abs(x_train).max(0).astype(np.float32))
    lossy = (x_train.std(0) > 0) & (steps > 1e-3 * x_train.std(0))
    if not lossy.any():
      return x_train.astype(np.float32), x_val.astype(np.float32), ()
  offset = np.where(lossy, np.round(x_train.mean(0)), 0.0)
  for i in np.flatnonzero(lossy):
    text = f"{i + 1} is less {offset[i]:.0f} here and for the saved model"
    verbosity.show(f"{'column':<10}{text}: float32 would lose its digits")
  parts = [(x - offset).astype(np.float32) for x in (x_train, x_val)]
  return *parts, tuple(map(float, offset))


def _check_parts(path, parts):
  """Refuses arrays whose shapes do not go together."""
  x_train, x_val, y_train, y_val = parts
  for x, y, part in ((x_train, y_train, "train"), (x_val, y_val, "val")):
    shapes = f"x_{part} {x.shape} and y_{part} {y.shape}"
    if x.ndim < 1 or y.ndim < 1 or len(x) != len(y) or not len(x):
      rule = "must hold as many examples, at least one"
      raise DataError(f"--data_path={path}: {shapes} {rule}")
    if not x.size or not y.size:
      raise DataError(f"--data_path={path}: {shapes} hold no values")
    for name, array in ((f"x_{part}", x), (f"y_{part}", y)):
      _check_values(path, name, array)
  if x_train.shape[1:] != x_val.shape[1:]:
    shapes = f"{x_train.shape[1:]} in training, {x_val.shape[1:]} in validation"
    raise DataError(f"--data_path={path}: examples differ in shape: {shapes}")


def _check_values(path, name, array):
  """Refuses numbers that float32 has not: missing, infinite, too large."""
  if array.dtype.kind != "f":
    return
  bad = ~(np.abs(array) <= np.finfo(np.float32).max)
  if bad.any():
    where = tuple(map(int, np.argwhere(bad)[0]))
    text = f"{name} has {array[where]} at index {where}"
    raise DataError(f"--data_path={path}: {text}, no finite float32")


def _split(x, y, fraction):
  """[x_train, x_val, y_train, y_val] by a fixed shuffle."""
  count = round(len(x) * fraction)
  if not 0 < count < len(x):
    parts = f"{len(x) - count} to train on and {count} to hold out"
    rule = f"must leave an example in both: of {len(x)} it leaves {parts}"
    raise DataError(f"--validation_fraction={fraction} {rule}")
  order = np.random.default_rng(0).permutation(len(x))
  val, train = order[:count], order[count:]
  return [x[train], x[val], y[train], y[val]]


def _read_parts(name, path, fraction):
  if path is None:
    return _from_keras(name)
  file = NpzFile(path)
  keys = _keys(path, file.names)
  parts = file.read(keys)
  if len(keys) == 4:
    return parts
  x, y = parts
  _check_parts(path, [x, x, y, y])
  return _split(x, y, fraction)


def _keys(path, names):
  """Which of a file's arrays are read: those to train on, and to hold out."""
  pairs = {held: {f"x_{held}", f"y_{held}"} for held in ("val", "test")}
  held = [one for one, pair in pairs.items() if pair & set(names)][:1]
  keys = [f"{axis}_{part}" for axis in "xy" for part in ("train", *held)]
  for key in keys:
    if key not in names:
      there = ", ".join(names)[:200] or "none"
      raise DataError(f"--data_path={path} has no array {key} (has {there})")
  return keys


def _from_keras(name):
  import keras

  try:
    (x, y), (x_val, y_val) = getattr(keras.datasets, name).load_data()
  except Exception as error:  # Keras raises a bare Exception without a network
    reason = str(error).splitlines()[0]
    text = f"--dataset={name} cannot be fetched ({reason}); give --data_path"
    raise DataError(text) from error
  return [x, x_val, y, y_val]


def _words(parts, num_words, max_length):
  """Reviews as int32 (examples, max_length), padded and cut at the front."""
  if parts[0].dtype == object:  # Keras' own file: lists of word numbers
    from keras.utils import pad_sequences

    parts = [pad_sequences(part, maxlen=max_length) for part in parts]
  if any(part.dtype.kind not in "iu" or part.ndim != 2 for part in parts):
    kind = f"{parts[0].dtype} {parts[0].shape}"
    raise DataError(f"imdb: x must hold word numbers (reviews, words): {kind}")
  parts = [part[:, -max_length:].astype(np.int32) for part in parts]
  unknown = 2
  return [np.where(part >= num_words, unknown, part) for part in parts]


def _as_task(x_train, x_val, y_train, y_val, task):
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
  y_train, y_val = (np.searchsorted(classes, y) for y in (y_train, y_val))
  outputs = len(classes)
  if outputs == 2:
    y_train, y_val = (y[:, None].astype(np.float32) for y in (y_train, y_val))
    outputs = 1
  return Data(x_train, y_train, x_val, y_val, outputs, "classification")


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
