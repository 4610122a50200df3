"""A CSV file as text: decoded, unpacked, record by record with its line."""

import codecs
import contextlib
import csv
import dataclasses
import gzip
import io
import itertools
import zlib

from cli.exits import DataError

_LONGEST_LINE = 1 << 24  # characters: some millions of numbers


@dataclasses.dataclass(frozen=True)
class Text:
  """One file.

  Attributes:
    path: the file; .gz is unpacked as it is read.
    encoding: one that Python knows.
    separator: one character.
  """

  path: str
  encoding: str
  separator: str = ","

  @contextlib.contextmanager
  def opened(self):
    """The file as text, with every end of a line as it is."""
    try:
      with opened_bytes(self.path) as file:
        yield io.TextIOWrapper(file, encoding=self.encoding, newline="")
    except UnicodeDecodeError as error:
      raise DataError(self._undecoded(error)) from error

  def records(self):
    """Yields (line in the file, cells) of all records that are not blank.

    Raises:
      DataError: naming the line of what is no CSV.
    """
    reader = None
    try:
      with self.opened() as file:
        reader = csv.reader(
          self._bounded(file),
          delimiter=self.separator,
          skipinitialspace=True,
          strict=True,
        )
        for cells in reader:
          if len(cells) > 1 or (cells and cells[0].strip(" \t")):
            yield reader.line_num, cells
    except csv.Error as error:
      text = f"--data_path={self.path} is no CSV: line {reader.line_num}"
      raise DataError(f"{text}: {error}") from error

  def record(self, index):
    """(line, cells) of a record, from 0."""
    return next(itertools.islice(self.records(), index, None))

  def _bounded(self, file):
    """A file's lines, none of which fills the memory or hides a NUL."""
    number, line = 0, file.readline(_LONGEST_LINE)
    while line:
      number += 1
      if len(line) == _LONGEST_LINE:
        text = f"line {number} is longer than {_LONGEST_LINE - 1} characters"
        raise DataError(f"--data_path={self.path}: {text}")
      if "\0" in line:
        text = f"line {number} has a NUL: no text"
        raise DataError(f"--data_path={self.path}: {text}")
      yield line
      line = file.readline(_LONGEST_LINE)

  def _undecoded(self, error):
    """The line that says where a file is in another encoding."""
    where = "the file"
    with opened_bytes(self.path) as file:
      lines = iter(lambda: file.readline(_LONGEST_LINE), b"")
      for number, line in enumerate(lines, 1):
        try:
          line.decode(self.encoding)
        except UnicodeDecodeError as found:
          where, error = f"line {number}", found
          break
    name, byte = self.encoding.upper(), error.object[error.start]
    return (
      f"--data_path={self.path} is no CSV in {name.removesuffix('-SIG')}: "
      f"{where} has the byte 0x{byte:02x}; for tables of Western Europe's "
      "Windows write --encoding=cp1252"
    )


@contextlib.contextmanager
def opened_bytes(path):
  """A file's bytes, unpacked if it is a .gz."""
  start = gzip.open if path.endswith(".gz") else open
  try:
    with start(path, "rb") as file:
      yield file
  except (gzip.BadGzipFile, EOFError, zlib.error) as error:
    text = f"--data_path={path} is no whole .gz file ({error})"
    raise DataError(text) from error


def encoding_of(path, given):
  """The encoding of a file: its byte-order mark's, or the one given."""
  with opened_bytes(path) as file:
    head = file.read(4)
  if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
    return "utf-16"
  return "utf-8-sig" if head.startswith(codecs.BOM_UTF8) else given
