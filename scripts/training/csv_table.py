"""Tables of numbers with a label column, from CSV files as people have them."""

import csv
import math
import os

import numpy as np

from cli.exits import DataError
from cli.light import output
from training import memory

# What programs write where a value is missing; an empty cell, too.
_MISSING = ("", "na", "n/a", "nan", "null", "none", "?")
_LONGEST_LINE = 1 << 24  # characters: some millions of numbers
_LONGEST_LABEL = 1000  # characters: NumPy gives every label that much room
_SMALLEST_CELL = 4  # bytes in memory for each byte of the file, at least


def read(path):
  """Features and labels of a CSV file; the label is the last column.

  A first line is a header if none of its features is a number, if its label
  is none while all the others are, or if it counts the columns, 0,1,2 ..., as
  a table without names has it. A first column without a name that counts the
  rows is left out. What is not obvious is said.

  Args:
    path: a file in UTF-8, with or without a byte-order mark.

  Returns:
    (x, y): float64 (rows, columns - 1), and float64 or str (rows,).

  Raises:
    DataError: naming line and column of what is not numbers and a label.
  """
  lines, names = _lines(path), None
  if lines and _is_header(lines):
    names, lines = lines[0][1], lines[1:]
  elif _counts_columns(lines):
    text = ",".join(lines[0][1])
    text = text if len(text) < 30 else f"{text[:30]} ..."
    text = f"line {lines[0][0]}, {text}, counts the columns: a header"
    output.line(f"warning: {text}")
    names, lines = lines[0][1], lines[1:]
  if not lines:
    raise DataError(f"--data_path={path} has no rows")
  width = len(lines[0][1] if names is None else names)
  if width < 2:
    raise DataError(f"--data_path={path}: columns are separated by commas")
  for number, row in lines:
    _check(path, number, row, width, names)
  x = np.empty((len(lines), width - 1))
  for i, (_, row) in enumerate(lines):
    x[i] = [float(value) for value in row[:-1]]
  if width > 2 and names and not names[0].strip() and _counts_rows(x[:, 0]):
    text = "the first column has no name and counts the rows: left out"
    output.line(f"warning: {text}")
    x = x[:, 1:]
  return x, _labels(path, lines)


def _check(path, number, row, width, names):
  """Refuses a line that is not numbers and a label."""
  if len(row) != width:
    raise DataError(
      f"--data_path={path}: line {number} is not {width - 1} numbers and a "
      f"label: it has {len(row)} columns"
    )
  for column, cell in enumerate(row):
    last = column == width - 1
    bad = _is_missing(cell) if last else not _numbers([cell])
    if last and cell.strip() and not _parses(cell):
      bad = False  # a word, whatever it means elsewhere
    if bad:
      name = "" if names is None else f" ({names[column].strip()!r})"
      kind = "a missing value" if _is_missing(cell) else "no number"
      raise DataError(
        f"--data_path={path}: line {number} is not {width - 1} numbers and a "
        f"label: column {column + 1}{name} has {cell.strip()!r}, {kind}"
      )


def _labels(path, lines):
  """Labels as numbers if the first is one; then all must be."""
  texts = [(number, row[-1].strip()) for number, row in lines]
  number = _numbers([texts[0][1]])
  for line, text in texts:
    if len(text) > _LONGEST_LABEL:
      text = f"line {line} has a label of {len(text)} characters"
      raise DataError(f"--data_path={path}: {text}, more than {_LONGEST_LABEL}")
    if _numbers([text]) != number:
      kinds = "numbers" if number else "words"
      text = f"the label {text!r} in line {line} is not like the {kinds} above"
      raise DataError(f"--data_path={path}: {text}")
    if number and _is_rounded(text):
      text = f"the label {text} in line {line} has more digits than a float64"
      raise DataError(f"--data_path={path}: {text}: write it as a word")
  return np.array([float(t) for _, t in texts] if number
                  else [t for _, t in texts])  # fmt: skip


def _is_rounded(text):
  """Whether it is a whole number that float64 takes for another one."""
  try:
    return int(text) != float(text)
  except ValueError:
    return False


def _is_header(lines):
  (_, first), rest = lines[0], lines[1:]
  named = [cell for cell in first[:-1] if not _is_missing(cell)]
  if named and not any(map(_parses, first[:-1])):
    return True
  others = [row[-1] for _, row in rest]
  return bool(rest) and _numbers(others) and not _parses(first[-1])


def _counts_columns(lines):
  """Whether the first line is 0,1,2 ..., perhaps behind an empty cell.

  Of two columns it could be an example: then those below must be written
  otherwise, with a point.
  """
  if len(lines) < 2:
    return False
  (_, first), rest = lines[0], lines[1:]
  cells = first if first[0].strip() else first[1:]
  if [cell.strip() for cell in cells] != [str(i) for i in range(len(cells))]:
    return False
  if len(cells) > 2 or len(cells) < len(first):
    return True
  return all("." in row[0] for _, row in rest if row)


def _counts_rows(column):
  return bool((column == np.arange(len(column))).all())


def _lines(path):
  """[(line in the file, cells)] of all lines that are not blank."""
  least, room = os.path.getsize(path) * _SMALLEST_CELL, memory.available()
  if least > room:
    raise DataError(
      f"--data_path={path}: its cells take {memory.text(least)} or more; "
      f"{memory.text(room)} of memory are left"
    )
  rows = None
  try:
    with open(path, newline="", encoding="utf-8-sig") as file:
      rows = csv.reader(_bounded(path, file), strict=True)
      return [(rows.line_num, row) for row in rows if not _is_blank(row)]
  except UnicodeDecodeError as error:
    text = f"--data_path={path} is no CSV in UTF-8 ({error})"
    raise DataError(text) from error
  except csv.Error as error:
    text = f"--data_path={path} is no CSV: line {rows.line_num}: {error}"
    raise DataError(text) from error


def _bounded(path, file):
  """A file's lines, none of which fills the memory or hides a NUL."""
  number, line = 0, file.readline(_LONGEST_LINE)
  while line:
    number += 1
    if len(line) == _LONGEST_LINE:
      text = f"line {number} is longer than {_LONGEST_LINE - 1} characters"
      raise DataError(f"--data_path={path}: {text}")
    if "\0" in line:
      raise DataError(f"--data_path={path}: line {number} has a NUL: no text")
    yield line
    line = file.readline(_LONGEST_LINE)


def _is_blank(row):
  return not row or (len(row) == 1 and not row[0].strip())


def _is_missing(cell):
  return cell.strip().lower() in _MISSING


def _parses(cell):
  """Whether a text is a number, one that is not finite included; 1_000 and
  digits of other scripts, which Python takes, are none."""
  if "_" in cell or not cell.strip().isascii():
    return False
  try:
    float(cell)
  except ValueError:
    return False
  return True


def _numbers(texts):
  """Whether all the texts are finite numbers."""
  return all(_parses(text) and math.isfinite(float(text)) for text in texts)
