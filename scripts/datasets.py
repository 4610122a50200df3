"""Real data for the scripts: x and y for training and validation."""

import csv
import dataclasses
import os

import numpy as np

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


class DataError(ValueError):
  """A dataset that can't be used, in one line."""


@dataclasses.dataclass(frozen=True)
class Data:
  """Arrays of one task.

  Attributes:
    x_train, y_train, x_val, y_val: NumPy arrays, examples first.
    outputs: units of the model's last layer: classes, 1 for two classes, or
      the targets of a regression.
    task: "classification" or "regression".
  """

  x_train: np.ndarray
  y_train: np.ndarray
  x_val: np.ndarray
  y_val: np.ndarray
  outputs: int
  task: str

  @property
  def loss(self):
    """The name of the Keras loss for the task."""
    if self.task == "regression":
      return "mean_squared_error"
    sparse = "sparse_categorical_crossentropy"
    return "binary_crossentropy" if self.outputs == 1 else sparse


def load(name, path, validation_fraction, num_words, max_length):
  """Loads a dataset.

  Args:
    name: one of `NAMES`.
    path: file to read, or None for the dataset's own source.
    validation_fraction: share of the examples that is held out, by a fixed
      shuffle, where the dataset has no validation part of its own.
    num_words: IMDB: most frequent words kept; the others become "unknown".
    max_length: IMDB: last words of a review that are kept.

  Returns:
    A `Data`.

  Raises:
    DataError: if the file does not hold what it should.
    OSError: if it can't be read.
  """
  if path is not None and not os.path.isfile(path):
    raise DataError(f"--data_path={path} is not a file")
  if name == "digits":
    from sklearn import datasets

    x, y = datasets.load_digits(return_X_y=True)
    parts = _split((x / 16).astype(np.float32), y, validation_fraction)
  elif name in ("ionosphere", "csv"):
    parts = _split(*_read_csv(path), validation_fraction)
  else:
    parts = _read_parts(name, path, validation_fraction)
  if name == "imdb":
    parts = [*_words(parts[:2], num_words, max_length), *parts[2:]]
  elif parts[0].dtype == np.uint8:
    parts = [*(part.astype(np.float32) / 255 for part in parts[:2]), *parts[2:]]
  return _as_task(*parts)


def _split(x, y, fraction):
  """[x_train, x_val, y_train, y_val] by a fixed shuffle."""
  count = round(len(x) * fraction)
  if not 0 < count < len(x):
    rule = f"leaves {len(x) - count} of {len(x)} examples to train on"
    raise DataError(f"--validation_fraction={fraction} {rule}")
  order = np.random.default_rng(0).permutation(len(x))
  val, train = order[:count], order[count:]
  return [x[train], x[val], y[train], y[val]]


def _read_parts(name, path, fraction):
  if path is None:
    import keras

    if name == "imdb":
      (x, y), (x_val, y_val) = keras.datasets.imdb.load_data()
    else:
      (x, y), (x_val, y_val) = getattr(keras.datasets, name).load_data()
    return [x, x_val, y, y_val]
  try:
    with np.load(path, allow_pickle=False) as file:
      arrays = {key: file[key] for key in file.files}
  except (ValueError, OSError, EOFError, KeyError) as error:
    raise DataError(f"--data_path={path} is no plain .npz file") from error
  for key in ("x_train", "y_train"):
    if key not in arrays:
      found = ", ".join(sorted(arrays)) or "none"
      raise DataError(f"--data_path={path} has no array {key} (has {found})")
  for held in ("val", "test"):
    if f"x_{held}" in arrays and f"y_{held}" in arrays:
      keys = ("x_train", f"x_{held}", "y_train", f"y_{held}")
      return [arrays[key] for key in keys]
  return _split(arrays["x_train"], arrays["y_train"], fraction)


def _words(parts, num_words, max_length):
  """Reviews as int32 (examples, max_length), padded and cut at the front."""
  if parts[0].dtype == object:  # Keras' own file: lists of word numbers
    from keras.utils import pad_sequences

    parts = [pad_sequences(part, maxlen=max_length) for part in parts]
  parts = [part[:, -max_length:].astype(np.int32) for part in parts]
  unknown = 2
  return [np.where(part >= num_words, unknown, part) for part in parts]


def _read_csv(path):
  """Numeric columns and the label column, which is the last one."""
  with open(path, newline="", encoding="utf-8") as file:
    rows = [row for row in csv.reader(file) if row]
  if rows and not _numbers(rows[0][:-1]):
    rows = rows[1:]  # a header
  if not rows:
    raise DataError(f"--data_path={path} has no rows")
  for i, row in enumerate(rows, 1):
    if len(row) != len(rows[0]) or len(row) < 2 or not _numbers(row[:-1]):
      want = f"{len(rows[0]) - 1} numbers and a label"
      raise DataError(f"--data_path={path}: data row {i} is not {want}")
  x = np.array([[float(v) for v in row[:-1]] for row in rows], np.float32)
  labels = [row[-1].strip() for row in rows]
  return x, np.array([float(v) for v in labels] if _numbers(labels) else labels)


def _numbers(texts):
  """Whether all the texts are numbers."""
  try:
    for text in texts:
      float(text)
  except ValueError:
    return False
  return True


def _as_task(x_train, x_val, y_train, y_val):
  """Labels as class numbers, or as float targets of a regression."""
  y_train, y_val = np.asarray(y_train), np.asarray(y_val)
  fractional = y_train.dtype.kind == "f" and (y_train % 1 != 0).any()
  if fractional or y_train.ndim > 1:
    y_train, y_val = (
      y.reshape(len(y), -1).astype(np.float32) for y in (y_train, y_val)
    )
    outputs = y_train.shape[1]
    return Data(x_train, y_train, x_val, y_val, outputs, "regression")
  classes = np.unique(np.concatenate([y_train, y_val]))
  y_train, y_val = (np.searchsorted(classes, y) for y in (y_train, y_val))
  outputs = len(classes)
  if outputs < 2:
    raise DataError(f"the labels are all {classes[0]!r}: nothing to learn")
  if outputs == 2:
    y_train, y_val = (y[:, None].astype(np.float32) for y in (y_train, y_val))
    outputs = 1
  return Data(x_train, y_train, x_val, y_val, outputs, "classification")
