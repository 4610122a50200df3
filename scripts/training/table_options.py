"""What a user may say of a table, and which files it is in."""

import dataclasses
import glob
import os

from cli.exits import DataError


@dataclasses.dataclass(frozen=True)
class Options:
  """How a table is read.

  Attributes:
    separator: one character, or None for what the file shows.
    encoding: one that Python knows.
    header: "auto", "yes" or "no".
    decimal: "auto", "." or ",".
    dates: "drop", "number" (days since 1970), or None to refuse them.
    label: name of the label's column; None for the last one.
    drop: names of columns that are left out.
    words: names of columns that are words even where they look like numbers.
    missing: further marks of a missing value, in lower case.
  """

  separator: str | None = None
  encoding: str = "utf-8"
  header: str = "auto"
  decimal: str = "auto"
  dates: str | None = None
  label: str | None = None
  drop: tuple = ()
  words: tuple = ()
  missing: tuple = ()


def files(text):
  """The files of --data_path: one, several with commas, or a pattern.

  Raises:
    DataError: if one of them is not there.
  """
  if os.path.isfile(text):
    return [text]
  paths = []
  for part in text.split(","):
    found = [part] if os.path.isfile(part) else sorted(glob.glob(part))
    paths += [path for path in found if os.path.isfile(path)]
    if not found:
      raise DataError(f"--data_path={part} is not a file")
  if not paths:
    raise DataError(f"--data_path={text} is not a file")
  return paths
