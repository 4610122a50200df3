"""Real data for the scripts: x and y for training and validation."""

import dataclasses
import os

import numpy as np

from cli import table_flags, verbosity
from cli.exits import DataError
from training import table_encoding, table_options, table_reader
from training.data import as_task
from training.npz_file import NpzFile

NAMES = (
  "digits",
  "mnist",
  "fashion_mnist",
  "imdb",
  "ionosphere",
  "npz",
  *table_flags.KINDS,
)
# These have no other source than --data_path.
NEED_PATH = ("ionosphere", "npz", *table_flags.KINDS)


def load(
  name,
  path,
  validation_fraction,
  num_words,
  max_length,
  task,
  options=None,
):
  """Loads a dataset.

  Args:
    name: one of `NAMES`.
    path: file to read, or None for the dataset's own source; of a table also
      several, see `table_options.files`.
    validation_fraction: share of the examples that is held out, by a fixed
      shuffle, where the dataset has no validation part of its own.
    num_words: IMDB: most frequent words kept; the others become "unknown".
    max_length: IMDB: last words of a review that are kept.
    task: "classification", "regression", or "auto" by the labels.
    options: how a table is read, a `table_options.Options`; None for the
      defaults.

  Returns:
    A `Data`.

  Raises:
    DataError: if the file does not hold what it should.
  """
  options = options or table_options.Options()
  if name in table_flags.KINDS:
    return _table(name, path, validation_fraction, task, options)
  if path is not None and not os.path.isfile(path):
    raise DataError(f"--data_path={path} is not a file")
  if name == "digits":
    from sklearn import datasets

    x, y = datasets.load_digits(return_X_y=True)
    parts = _split((x / 16).astype(np.float32), y, validation_fraction)
  elif name == "ionosphere":
    table = table_reader.read("csv", [path], options)
    parts = _split(table.numbers, table.labels, validation_fraction)
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
  own, offset = name == "npz", ()
  if own:
    *parts[:2], offset = _offset(*parts[:2])
  data = as_task(*parts, task)
  return dataclasses.replace(data, own=own, offset=offset)


def _table(name, path, fraction, task, options):
  """The `Data` of a table: an array, and how raw rows become one."""
  table = table_reader.read(name, table_options.files(path), options)
  train, val = _parts(len(table.labels), fraction)
  encoding = table_encoding.fit(table, train)
  x_train, x_val = (encoding.array(table, rows) for rows in (train, val))
  offset = tuple(one.offset for one in encoding.numbers)
  if not table.is_plain or not any(offset):
    offset = ()
  _tell(offset)
  y_train, y_val = (table.labels[rows] for rows in (train, val))
  data = as_task(x_train, x_val, y_train, y_val, task)
  encoding = None if table.is_plain else encoding
  return dataclasses.replace(data, own=True, offset=offset, table=encoding)


def first_layers(data):
  """What a net on a table begins with, in a list; [] for a `Data` of others.

  Numbers are normalised there, words one-hot or embedded.
  """
  import keras

  if data.moments is None:
    return []
  if data.table is not None and data.table.words:
    return [data.table.spread(data.moments)]
  means, variances = (values.tolist() for values in data.moments)
  return [keras.layers.Normalization(mean=means, variance=variances)]


def _offset(x_train, x_val):
  """(x_train, x_val, offset): float32, less what `offset_of` says."""
  if x_train.ndim != 2 or x_train.dtype != np.float64:
    return x_train, x_val, ()
  with np.errstate(over="ignore", invalid="ignore"):
    offset = tuple(map(table_encoding.offset_of, x_train.T))
  _tell(offset)
  parts = [(x - np.array(offset)).astype(np.float32) for x in (x_train, x_val)]
  return *parts, offset if any(offset) else ()


def _tell(offset):
  """Says what is subtracted from which columns."""
  for i in np.flatnonzero(offset):
    text = f"{i + 1} is less {offset[i]:.0f} here and for the saved model"
    verbosity.show(f"{'column':<10}{text}: float32 would lose its digits")


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


def _parts(total, fraction):
  """(indices to train on, indices to hold out) by a fixed shuffle."""
  count = round(total * fraction)
  if not 0 < count < total:
    parts = f"{total - count} to train on and {count} to hold out"
    rule = f"must leave an example in both: of {total} it leaves {parts}"
    raise DataError(f"--validation_fraction={fraction} {rule}")
  order = np.random.default_rng(0).permutation(total)
  return order[count:], order[:count]


def _split(x, y, fraction):
  """[x_train, x_val, y_train, y_val] by a fixed shuffle."""
  train, val = _parts(len(x), fraction)
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
