"""The files of a table as one: pieces of rows, and where a row stands."""

import importlib

from cli.exits import DataError
from training import csv_survey

_PIECE = 1 << 19  # cells that are read at once


def opened(kind, paths, options):
  """A `CsvFiles` or `ParquetFiles`.

  Args:
    kind: "csv" or "parquet".
    paths: files of the same columns.
    options: a `table_options.Options`.

  Raises:
    DataError: if a library is missing, or a file is none or has other columns.
  """
  for library in ("pandas", *(["pyarrow"] if kind == "parquet" else [])):
    try:
      importlib.import_module(library)
    except ImportError as error:
      text = f"--dataset={kind} needs {library}: pip install {library}"
      raise DataError(text) from error
  return (CsvFiles if kind == "csv" else ParquetFiles)(paths, options)


class CsvFiles:
  """CSV files with the same columns.

  Attributes:
    names: as the headers have them; () without.
    width, rows: of all files together.
    decimal: "." or ",".
    unused: places of columns that have neither name nor values, as a
      separator at the end of each line makes one.
  """

  def __init__(self, paths, options):
    self._surveys = [csv_survey.survey(path, options) for path in paths]
    first = self._surveys[0]
    for one in self._surveys[1:]:
      _check_alike(paths[0], first, one.text.path, one)
    self.names, self.width = first.header, first.width
    self.rows = sum(one.rows for one in self._surveys)
    self.decimal = first.decimal
    self.unused = first.unused

  def pieces(self, words, marks):
    """Yields `pandas.DataFrame`s whose columns are 0, 1, 2 ...

    Args:
      words: places of columns whose cells stay texts.
      marks: {place: marks of missing values}, in lower case.
    """
    for survey in self._surveys:
      yield from self._read(survey, words, marks)

  def place(self, row):
    """(where a row, from 0, stands in words, its cells)."""
    for survey in self._surveys:
      if row < survey.rows:
        line, found = survey.place(row)
        return f"--data_path={survey.text.path}: line {line}", found
      row -= survey.rows
    raise IndexError(row)

  def _read(self, survey, words, marks):
    import pandas as pd

    options = {
      "sep": survey.text.separator,
      "decimal": survey.decimal,
      "header": 0 if survey.header else None,
      "names": range(survey.width),
      "index_col": False,
      "dtype": dict.fromkeys(words, object),
      "keep_default_na": False,
      "na_values": {i: _spellings(marks[i]) for i in marks},
      "skipinitialspace": True,
      "low_memory": False,
      "chunksize": max(1, _PIECE // survey.width),
    }
    count, path = 0, survey.text.path
    try:
      with survey.text.opened() as file:
        for piece in pd.read_csv(file, **options):
          count += len(piece)
          if count > survey.rows:
            break
          yield piece
    except pd.errors.ParserError as error:
      reason = " ".join(str(error).split())
      raise DataError(f"--data_path={path} is no CSV: {reason}") from error
    if count != survey.rows:
      text = f"{survey.rows} rows, but pandas reads {count}: a quote in a cell"
      raise DataError(f"--data_path={path} has {text} is written twice")


class ParquetFiles:
  """Parquet files with the same columns; members as of `CsvFiles`."""

  decimal, unused = ".", frozenset()

  def __init__(self, paths, options):
    self._files = [(path, _parquet(path, options.drop)) for path in paths]
    self.names = tuple(self._files[0][1].schema_arrow.names)
    self.width = len(self.names)
    for path, file in self._files:
      if tuple(file.schema_arrow.names) != self.names:
        _refuse(paths[0], self.names, path, file.schema_arrow.names)
    self.rows = sum(file.metadata.num_rows for _, file in self._files)
    if not self.rows:
      raise DataError(f"--data_path={paths[0]} has no rows")

  def pieces(self, words, marks):
    """See `CsvFiles`."""
    del words, marks
    size = max(1, _PIECE // self.width)
    for _, file in self._files:
      for batch in file.iter_batches(batch_size=size):
        piece = batch.to_pandas().set_axis(range(self.width), axis=1)
        flags = [i for i, dtype in piece.dtypes.items() if dtype.kind == "b"]
        yield piece.astype(dict.fromkeys(flags, float))

  def place(self, row):
    """See `CsvFiles`."""
    for path, file in self._files:
      if row < file.metadata.num_rows:
        return f"--data_path={path}: row {row + 1}", _cells(file, row)
      row -= file.metadata.num_rows
    raise IndexError(row)


def _cells(file, row):
  """A row, from 0, of a Parquet file as texts."""
  for batch in file.iter_batches():
    if row < batch.num_rows:
      break
    row -= batch.num_rows
  return [str(column[row].as_py()) for column in batch.columns]


def _parquet(path, dropped):
  import pyarrow as pa
  from pyarrow import parquet

  try:
    file = parquet.ParquetFile(path)
  except (pa.ArrowException, OSError) as error:
    reason = " ".join(str(error).split())
    raise DataError(f"--data_path={path} is no Parquet ({reason})") from error
  for field in file.schema_arrow:
    if pa.types.is_nested(field.type) and field.name not in dropped:
      text = f"column {field.name!r} holds {field.type}"
      raise DataError(
        f"--data_path={path}: {text}, no cells; write --drop_columns="
        f"{field.name}"
      )
  return file


def _check_alike(path, first, other_path, other):
  mine, others = (one.header or (one.width,) for one in (first, other))
  if mine != others:
    _refuse(path, mine, other_path, others)


def _refuse(path, names, other_path, others):
  texts = (",".join(map(str, some))[:200] for some in (others, names))
  theirs, ours = texts
  raise DataError(
    f"--data_path={other_path} has the columns {theirs}; {path} has {ours}"
  )


def _spellings(marks):
  """Marks as files have them: pandas knows capitals from small letters."""
  ways = (str.lower, str.upper, str.capitalize)
  return sorted({way(mark) for mark in marks for way in ways} | {"NaN"})
