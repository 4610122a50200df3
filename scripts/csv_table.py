"""Tables of numbers with a label column, from CSV files as people have them."""

import csv

import numpy as np


class DataError(ValueError):
  """A dataset that can't be used, in one line."""


def read(path):
  """Features and labels of a CSV file; the label is the last column.

  A first line is a header if none of its features is a number, or if its label
  is none while all the others are.

  Args:
    path: a file in UTF-8, with or without a byte-order mark.

  Returns:
    (x, y): float32 (rows, columns - 1), and float64 or str (rows,).

  Raises:
    DataError: naming the file's line that is not numbers and a label.
  """
  lines = _lines(path)
  if lines and _is_header(lines):
    lines = lines[1:]
  if not lines:
    raise DataError(f"--data_path={path} has no rows")
  width = len(lines[0][1])
  if width < 2:
    raise DataError(f"--data_path={path}: columns are separated by commas")
  for number, row in lines:
    if len(row) != width or not _numbers(row[:-1]) or not row[-1].strip():
      rule = f"not {width - 1} numbers and a label"
      raise DataError(f"--data_path={path}: line {number} is {rule}")
  x = np.array([[float(v) for v in row[:-1]] for _, row in lines], np.float32)
  return x, _labels(path, lines)


def _labels(path, lines):
  """Labels as numbers if the first is one; then all must be."""
  texts = [(number, row[-1].strip()) for number, row in lines]
  number = _numbers([texts[0][1]])
  for line, text in texts:
    if _numbers([text]) != number:
      kinds = "numbers" if number else "words"
      text = f"the label {text!r} in line {line} is not like the {kinds} above"
      raise DataError(f"--data_path={path}: {text}")
  return np.array([float(t) for _, t in texts] if number
                  else [t for _, t in texts])  # fmt: skip


def _is_header(lines):
  (_, first), rest = lines[0], lines[1:]
  if not any(_numbers([cell]) for cell in first[:-1]):
    return True
  others = [row[-1] for _, row in rest]
  return bool(rest) and _numbers(others) and not _numbers(first[-1:])


def _lines(path):
  """[(line in the file, cells)] of all lines that are not empty."""
  try:
    with open(path, newline="", encoding="utf-8-sig") as file:
      reader = csv.reader(file)
      return [(reader.line_num, row) for row in reader if any(row)]
  except (UnicodeDecodeError, csv.Error) as error:
    raise DataError(
      f"--data_path={path} is no CSV in UTF-8 ({error})"
    ) from error


def _numbers(texts):
  """Whether all the texts are numbers."""
  try:
    for text in texts:
      float(text)
  except ValueError:
    return False
  return True
