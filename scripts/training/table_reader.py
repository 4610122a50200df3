"""A table of numbers and words with a label, from files as people have them."""

import dataclasses

import numpy as np

from cli.exits import DataError
from cli.light import output
from training import cells, memory, table_files

_BYTES = 16  # of a cell: read as a float64, and as float32 in two parts
_LONGEST_LABEL = 1000  # characters: NumPy gives every label that much room
_LARGEST_INTEGER = 2**53  # above it float64 has not every one


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
  """What was read.

  Attributes:
    columns: the features' `table_columns.Column`s: numbers, dates and words.
    labels: float64 or str (rows,).
  """

  columns: tuple
  labels: np.ndarray

  @property
  def is_plain(self):
    """Whether it holds nothing but numbers, all of them there."""
    return all(
      one.kind == "numbers" and not np.isnan(one.values).any()
      for one in self.columns
    )

  @property
  def numbers(self):
    """The features as float64 (rows, columns), of a plain table."""
    return np.stack([one.values for one in self.columns], axis=1)


def read(kind, paths, options):
  """The `Table` in some files.

  What is left out, and what is not obvious, is said.

  Args:
    kind: "csv" or "parquet".
    paths: one or more files with the same columns.
    options: a `table_options.Options`.

  Raises:
    DataError: naming line and column of what can't be.
  """
  files = table_files.opened(kind, paths, options)
  least, room = files.rows * files.width * _BYTES, memory.available()
  if least > room:
    raise DataError(
      f"--data_path={paths[0]}: its cells take {memory.text(least)} or more; "
      f"{memory.text(room)} of memory are left"
    )
  return _Reading(files, _names(files), options).table()


def _names(files):
  """Names of the columns, each of them once."""
  heads = files.names or [""] * files.width
  names = []
  for i, head in enumerate(heads):
    # Keras has no inputs with a slash.
    name = head.strip().replace("/", "_") or f"column_{i + 1}"
    free, count = name, 0
    while free in names:
      count += 1
      free = f"{name}.{count}"
    if head.strip() and name != head.strip():
      text = f"column {i + 1} is {name!r} from here on, not {head.strip()!r}"
      output.line(f"warning: {text}")
    if free != name:
      text = f"column {i + 1} is the second {name!r}: {free!r} from here on"
      output.line(f"warning: {text}")
    names.append(free)
  return names


class _Reading:
  """One table's way from files to columns."""

  def __init__(self, files, names, options):
    self._files, self._names, self._options = files, names, options
    for flag, some in (
      ("label_column", [options.label] if options.label else []),
      ("drop_columns", options.drop),
      ("word_columns", options.words),
    ):
      for name in some:
        if name not in names:
          there = ", ".join(names)[:300]
          text = f"--{flag}={name} is no column; there are {there}"
          raise DataError(text)
    for i in sorted(files.unused):
      text = f"column {i + 1} has neither name nor values: left out"
      output.line(f"warning: {text}")
    self._kept = [
      i
      for i, name in enumerate(names)
      if name not in options.drop and i not in files.unused
    ]
    if options.label in options.drop and options.label:
      text = f"--drop_columns={options.label} is the --label_column, too"
      raise DataError(text)
    if len(self._kept) < 2:
      raise DataError("a table has a label and one more column; none is left")
    self._label = self._kept[-1]
    if options.label:
      self._label = names.index(options.label)

  def table(self):
    """The `Table`."""
    columns = self._columns()
    labels = self._labels(columns.pop(self._label))
    kept, left_out = [], []
    for i in [*columns]:
      reason = self._reason_against(columns[i])
      if reason:
        left_out.append(f"{self._names[i]} ({reason})")
      else:
        kept.append(columns[i])
    if left_out:
      text = ", ".join(left_out[:10]) + ", ..." * (len(left_out) > 10)
      output.line(f"warning: columns left out: {text}")
    if not kept:
      raise DataError(f"no column is left to learn from: {', '.join(left_out)}")
    return Table(tuple(kept), labels)

  def _columns(self):
    """{place: `Column`}; those of several kinds are read again, as words."""
    from training import table_columns

    marks = {
      i: cells.MISSING_LABEL
      if i == self._label
      else cells.MISSING + self._options.missing
      for i in self._kept
    }
    words = {i for i in self._kept if self._names[i] in self._options.words}
    while True:
      how = (self._files.rows, self._files.decimal)
      parts = {
        i: table_columns.Gatherer(*how, marks[i], i in words)
        for i in self._kept
      }
      for piece in self._files.pieces(words, marks):
        for i, part in parts.items():
          part.add(piece[i])
      for i, part in parts.items():
        self._check(i, part)
      mixed = {i for i, part in parts.items() if part.is_mixed}
      if not mixed:
        break
      words |= mixed
    return {i: one.column(self._names[i], i + 1) for i, one in parts.items()}

  def _check(self, i, part):
    """Refuses a number that is none, by its line."""
    if part.bad_number is not None:
      self._refuse(i, part.bad_number, "no finite float32")
    if i == self._label:
      if part.good and part.bad:
        self._refuse(
          i,
          part.odd,
          "not like the labels that are numbers; "
          f"--word_columns={self._names[i]} takes all as words",
        )
    elif part.bad and part.good > 0.9 * (part.good + part.bad):
      self._refuse(
        i,
        part.odd,
        "no number or date as the others; --missing=MARK has it missing, "
        f"--word_columns={self._names[i]} the column hold words",
      )

  def _refuse(self, i, row, rule):
    where, found = self._files.place(row)
    name = f" ({self._names[i]!r})" if self._files.names else ""
    cell = found[i].strip()
    cell = cell if len(cell) < 60 else f"{cell[:60]}..."
    raise DataError(f"{where} column {i + 1}{name} has {cell!r}, {rule}")

  def _labels(self, column):
    """The labels, none of which is missing."""
    from training import table_columns

    i, values = self._label, column.values
    if len(column.words) > table_columns.MOST_WORDS:
      text = f"the label {column.name!r} has more than"
      text = f"{text} {table_columns.MOST_WORDS} different words"
      raise DataError(f"{text}; another column is named by --label_column")
    missing = values < 0 if column.kind == "words" else np.isnan(values)
    if missing.any():
      self._refuse(i, int(missing.argmax()), "a missing value, as label")
    if column.kind == "words":
      lengths = np.array([len(word) for word in column.words])
      if lengths.max() > _LONGEST_LABEL:
        row = int((values == lengths.argmax()).argmax())
        rule = f"a label of {lengths.max()} characters"
        self._refuse(i, row, f"{rule}, more than {_LONGEST_LABEL}")
      return np.array(column.words)[values]
    self._check_dates(column)
    large = np.abs(values) >= _LARGEST_INTEGER
    if large.any():
      rule = "more digits than a float64 has"
      option = f"--word_columns={column.name}"
      self._refuse(i, int(large.argmax()), f"{rule}: {option} takes them")
    return values

  def _check_dates(self, column):
    if column.kind == "dates" and self._options.dates is None:
      row = int((~np.isnan(column.values)).argmax())
      rule = "a date; --dates=number takes days since 1970, --dates=drop none"
      self._refuse(column.place - 1, row, rule)

  def _reason_against(self, column):
    """Why nothing can be learned of a feature, in words; or ""."""
    if column.kind == "empty":
      return "no values"
    if column.kind == "dates":
      self._check_dates(column)
      return "dates" if self._options.dates == "drop" else ""
    if column.kind == "words":
      return self._reason_against_words(column)
    names = self._files.names
    if column.place == 1 and names and not names[0].strip():
      start = column.values[0]
      counted = np.arange(start, start + len(column.values))
      if start in (0, 1) and np.array_equal(column.values, counted):
        return "counts the rows"
    return ""

  def _reason_against_words(self, column):
    from training import table_columns

    if len(column.words) > table_columns.MOST_WORDS:
      return f"more than {table_columns.MOST_WORDS} different words"
    counts = np.bincount(column.values[column.values >= 0])
    often = counts[counts > 1].sum()
    asked = column.name in self._options.words
    if asked or 2 * often >= counts.sum():
      return ""
    return f"words that come once, as {column.words[0][:20]!r}"
