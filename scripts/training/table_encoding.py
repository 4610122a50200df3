"""A table's rows as numbers for a net, and a model that takes raw rows.

Training runs on one float32 array: numbers, a flag for each that is missing
somewhere, and where each word stands in its vocabulary. `Encoding.raw` does the
same by Keras' own layers, in front of a net that was trained on it. Keras'
FeatureSpace does less well: it has no missing values, and spreads words before
the net, in memory for all rows.
"""

import dataclasses

import numpy as np

_OFTEN = 2  # a word that comes less often is one of the others
_ONE_HOT = 32  # words that are spread over as many columns; more are embedded


@dataclasses.dataclass(frozen=True)
class Number:
  """A column of numbers.

  Attributes:
    name: as raw rows have it.
    offset: what is subtracted, so that float32 keeps the digits.
    mean: of the rest; it stands where a value is missing.
    flagged: whether a column says where it is missing.
  """

  name: str
  offset: float
  mean: float
  flagged: bool


@dataclasses.dataclass(frozen=True)
class Words:
  """A column of words.

  Attributes:
    name: as raw rows have it.
    vocabulary: its words, the most frequent first; "" where it is missing.
      What is not in there is 0, the first word 1.
  """

  name: str
  vocabulary: tuple

  @property
  def size(self):
    """Columns that it takes in front of a net."""
    count = len(self.vocabulary)
    # Embeddings as fastai sizes them.
    return count if count <= _ONE_HOT else min(600, round(1.6 * count**0.56))


@dataclasses.dataclass(frozen=True)
class Encoding:
  """How the columns of a table become numbers.

  Attributes:
    numbers, words: in the order of the array; flags stand between them.
  """

  numbers: tuple
  words: tuple

  @property
  def names(self):
    """Names of the columns that the saved model takes, in its order."""
    return [one.name for one in (*self.numbers, *self.words)]

  @property
  def flags(self):
    """Indices of the numbers that have a flag."""
    return [i for i, one in enumerate(self.numbers) if one.flagged]

  @property
  def scaled(self):
    """How many columns of the array are no places of words."""
    return len(self.numbers) + len(self.flags)

  @property
  def width(self):
    """Columns of the array."""
    return self.scaled + len(self.words)

  def array(self, table, rows):
    """float32 (rows, width) of some rows of the `table_reader.Table`."""
    array = np.empty((len(rows), self.width), np.float32)
    columns = {one.name: one for one in table.columns}
    flag = len(self.numbers)
    for i, number in enumerate(self.numbers):
      values = columns[number.name].values[rows]
      missing = np.isnan(values)
      array[:, i] = np.where(missing, number.mean, values - number.offset)
      if number.flagged:
        array[:, flag] = missing
        flag += 1
    for i, one in enumerate(self.words, flag):
      column = columns[one.name]
      place = {word: at for at, word in enumerate(one.vocabulary, 1)}
      places = [place.get(word, 0) for word in column.words]
      places = np.array([*places, place.get("", 0)], np.float32)
      array[:, i] = places[column.values[rows]]
    return array

  def spread(self, moments):
    """A model of the array: numbers normalised, words one-hot or embedded.

    Args:
      moments: (means, variances) of the array's columns.

    Returns:
      A keras.Model, whose embeddings are trained with the net behind it.
    """
    import keras

    layers, ops = keras.layers, keras.ops
    inside, parts = keras.Input((self.width,), dtype="float32"), []
    if self.scaled:
      means, variances = (one[: self.scaled].tolist() for one in moments)
      scale = layers.Normalization(mean=means, variance=variances)
      parts.append(scale(inside[:, : self.scaled]))
    columns, places = [], []
    for i, one in enumerate(self.words, self.scaled):
      count = len(one.vocabulary)
      if count > _ONE_HOT:
        place = ops.cast(inside[:, i : i + 1], "int32")
        embedded = layers.Embedding(count + 1, one.size)(place)
        parts.append(layers.Flatten()(embedded))
      else:
        columns += [i] * count
        places += range(1, count + 1)
    if columns:
      # All at once: of a CategoryEncoding each, 200 take XLA a minute. A word
      # that is not known is 0 in all.
      away = layers.Rescaling(1.0, [-float(one) for one in places])
      hot = ops.equal(away(ops.take(inside, columns, axis=1)), 0.0)
      parts.append(ops.cast(hot, "float32"))
    outside = layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    return keras.Model(inside, outside)

  def raw(self, net):
    """The model of raw rows: {column: floats, NaN where missing, or texts}.

    Args:
      net: a keras.Model of the array.
    """
    import keras

    layers, inputs = keras.layers, {}
    for one in (*self.numbers, *self.words):
      dtype = "string" if one in self.words else "float64"
      inputs[one.name] = keras.Input((1,), name=one.name, dtype=dtype)
    parts = self._raw_numbers([inputs[one.name] for one in self.numbers])
    for one in self.words:
      lookup = layers.StringLookup(vocabulary=list(one.vocabulary))
      place = lookup(inputs[one.name])
      parts.append(keras.ops.cast(place, "float32"))
    array = parts[0]
    if len(parts) > 1:
      array = layers.Concatenate(dtype="float32")(parts)
    return keras.Model(inputs, net(array))

  def _raw_numbers(self, inputs):
    """The array's part of numbers and flags, of raw ones."""
    import keras

    layers, ops = keras.layers, keras.ops
    if not inputs:
      return []
    raw = inputs[0]
    if len(inputs) > 1:
      raw = layers.Concatenate(dtype="float64")(inputs)
    # An array: of a list Keras would make float32.
    offsets = np.array([-one.offset for one in self.numbers])
    raw = layers.Rescaling(1.0, offsets, dtype="float64")(raw)
    missing = ops.isnan(raw)
    flags = ops.cast(missing, "float32")
    there = ops.where(missing, 0.0, ops.cast(raw, "float32"))
    means = [one.mean for one in self.numbers]
    fill = layers.Rescaling(means, dtype="float32")(flags)
    parts = [layers.Add(dtype="float32")([there, fill])]
    if self.flags:
      parts.append(ops.take(flags, self.flags, axis=1))
    return parts


def fit(table, rows):
  """The `Encoding` of a `table_reader.Table` by some of its rows."""
  numbers = [one for one in table.columns if one.kind != "words"]
  words = [one for one in table.columns if one.kind == "words"]
  return Encoding(
    tuple(_number(one, rows) for one in numbers),
    tuple(_words(one, rows) for one in words),
  )


def _number(column, rows):
  values = column.values[rows]
  there = values[~np.isnan(values)]
  offset = offset_of(there)
  mean = float(np.float32((there - offset).mean())) if len(there) else 0.0
  return Number(column.name, offset, mean, len(there) < len(values))


def _words(column, rows):
  codes = column.values[rows]
  counts = np.bincount(codes[codes >= 0], minlength=len(column.words))
  often = np.flatnonzero(counts >= _OFTEN)
  often = often if len(often) else np.flatnonzero(counts)
  often = often[np.argsort(-counts[often], kind="stable")]
  words = [column.words[i] for i in often]
  return Words(column.name, (*words, *([""] if (codes < 0).any() else [])))


def offset_of(values):
  """What to subtract from float64 values before float32 takes their digits.

  float32 has 7: of seconds since 1970 it keeps steps of 128. 0 unless it would
  lose a thousandth of the deviation.
  """
  if not len(values):
    return 0.0
  largest, deviation = np.abs(values).max(), values.std()
  step = np.spacing(largest.astype(np.float32))
  return float(np.round(values.mean())) if step > 1e-3 * deviation > 0 else 0.0
