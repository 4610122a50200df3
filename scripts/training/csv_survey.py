"""What a CSV file is like: separator, decimal sign, header, rows; each record
of it is looked at once."""

import collections
import dataclasses
import itertools
import re

from cli.exits import DataError
from cli.light import output
from training import cells
from training.csv_text import Text, encoding_of

_SAMPLE = 1000  # records in which all but the rows is seen
_SEPARATORS = ("\t", ";", "|", ",")  # of equals the first one: 1,5;2,5
_COMMA = re.compile(r"[+-]?\d*,\d+")
_POINT = re.compile(r"[+-]?\d*\.\d+")


@dataclasses.dataclass(frozen=True)
class Survey:
  """One file.

  Attributes:
    text: its `Text`.
    decimal: "." or ",".
    header: the cells of the header; () for none.
    rows, width: how many, without the header.
    unused: places, from 0, of columns without a name and a value, as a
      separator at the end of each line makes one.
  """

  text: Text
  decimal: str
  header: tuple
  rows: int
  width: int
  unused: frozenset

  def place(self, row):
    """(line, cells) of a row, from 0."""
    return self.text.record(row + bool(self.header))


def survey(path, options):
  """The `Survey` of a file.

  Args:
    path: the file.
    options: a `table_options.Options`.

  Raises:
    DataError: if a line has not as many cells as the first, or no row is left.
  """
  text = Text(path, encoding_of(path, options.encoding))
  separator = options.separator or _separator(text)
  text = dataclasses.replace(text, separator=separator)
  sample, count = _walk(text)
  if not sample:
    raise DataError(f"--data_path={path} has no rows: it is empty")
  first, rest = sample[0], sample[1:]
  decimal = options.decimal
  if decimal == "auto":
    decimal = _decimal(sample) if separator != "," else "."
  if len(first[1]) < 2:
    raise DataError(
      f"--data_path={path}: line {first[0]} has one column; a table has two "
      "or more, separated by commas, semicolons, tabs or |: write another as "
      "--separator=:"
    )
  header = options.header == "yes"
  if options.header == "auto":
    header = _is_header(first, [row for _, row in rest], decimal)
  if count == header:
    text = f"only a header in line {first[0]}"
    raise DataError(f"--data_path={path} has no rows: {text}")
  names = tuple(first[1]) if header else ()
  columns = zip(*(row for _, row in sample), strict=True)
  unused = {i for i, column in enumerate(columns) if not any(column)}
  return Survey(
    text, decimal, names, count - header, len(first[1]), frozenset(unused)
  )


def _walk(text):
  """(the first records, how many there are) of a `Text`, all as wide."""
  sample, count = [], 0
  for count, (line, row) in enumerate(text.records(), 1):
    if count <= _SAMPLE:
      sample.append((line, row))
    if len(row) != len(sample[0][1]):
      raise DataError(
        f"--data_path={text.path}: line {line} has {len(row)} cells, line "
        f"{sample[0][0]} has {len(sample[0][1])}: what holds a "
        f"{cells.spelled(text.separator)} is written in quotes"
      )
  return sample, count


def _separator(text):
  """What separates most of the first records into as many cells."""
  most, best = 0, ","
  for separator in _SEPARATORS:
    records = dataclasses.replace(text, separator=separator).records()
    try:
      some = itertools.islice(records, _SAMPLE)
      widths = collections.Counter(len(row) for _, row in some)
    except DataError:  # no quotes then; what else is wrong the walk says
      continue
    for width, times in widths.most_common(1):
      if width > 1 and times > most:
        most, best = times, separator
  return best


def _decimal(sample):
  every = {cell.strip() for _, row in sample for cell in row}
  comma = any(map(_COMMA.fullmatch, every))
  return "," if comma and not any(map(_POINT.fullmatch, every)) else "."


def _is_header(first, rest, decimal):
  """Whether the first record names the columns.

  It does if none of its features is a number, and some are below or none of
  its cells comes again in its column; if its label is none while all the
  others are; if its words stand apart; or if it counts the columns, which is
  said.
  """
  line, head = first
  named = [cell for cell in head[:-1] if not cells.is_missing(cell)]
  if named and not any(cells.parses(cell, decimal) for cell in head[:-1]):
    below = list(zip(*rest, strict=True))
    again = (h in column for h, column in zip(head, below, strict=False))
    numeric = (_are_numbers(column, decimal) for column in below[:-1])
    return any(numeric) or not any(again)
  labels = [row[-1] for row in rest]
  if rest and _are_numbers(labels, decimal) and not cells.parses(head[-1]):
    return not cells.is_missing(head[-1])
  if _stands_apart(head, rest, decimal):
    return True
  if _counts_columns(head, rest):
    text = ",".join(head)
    text = text if len(text) < 30 else f"{text[:30]} ..."
    text = f"line {line}, {text}, counts the columns: a header"
    output.line(f"warning: {text}")
    return True
  return False


def _stands_apart(head, rest, decimal):
  """Whether two columns or more hold words that come again, and none of them
  that of the first record, which has numbers, too: country,1990,1991,kind."""
  columns = [
    (name, column)
    for name, column in zip(head, zip(*rest, strict=True), strict=False)
    if not _are_numbers(column, decimal)
  ]
  return len(columns) > 1 and all(
    name not in column and 2 * len(set(column)) <= len(column)
    for name, column in columns
  )


def _are_numbers(column, decimal):
  there = [cell for cell in column if not cells.is_missing(cell)]
  count = sum(cells.parses(cell, decimal) for cell in there)
  return count > 0.9 * len(there)


def _counts_columns(first, rest):
  """Whether the first record is 0,1,2 ..., perhaps behind an empty cell.

  Of two columns it could be an example: then those below must be written
  otherwise, with a point.
  """
  if not rest:
    return False
  counted = first if first[0].strip() else first[1:]
  if [c.strip() for c in counted] != [str(i) for i in range(len(counted))]:
    return False
  if len(counted) > 2 or len(counted) < len(first):
    return True
  return all("." in row[0] for row in rest)
