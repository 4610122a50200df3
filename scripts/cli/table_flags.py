"""Flags of how a table's file is read; `training/` does it."""

import codecs

from absl import flags

from cli import flag_rules

KINDS = ("csv", "parquet")
_TEXT = ("separator", "encoding", "header", "decimal", "missing")
_TABLE = ("dates", "label_column", "drop_columns", "word_columns")
_SPELLED = {"tab": "\t", "\\t": "\t", "space": " "}


def define():
  """Defines the flags."""
  _define_text()
  _define_columns()


def _define_text():
  flags.DEFINE_string(
    "separator",
    None,
    "csv: what separates cells, a character, tab or space; unset: of comma, "
    "semicolon, tab and | the one that the lines agree on",
  )
  flags.register_validator("separator", _is_separator)
  flags.DEFINE_string(
    "encoding",
    "utf-8",
    "csv: of the text, as cp1252 or latin-1; a byte-order mark goes before it",
  )
  flags.register_validator("encoding", _is_encoding)
  flags.DEFINE_enum(
    "header",
    "auto",
    ("auto", "yes", "no"),
    "csv: whether the first line names the columns; auto: as it looks",
  )
  flags.DEFINE_enum(
    "decimal",
    "auto",
    ("auto", "point", "comma"),
    "csv: the decimal sign; auto: a comma where it does not separate cells "
    "and there is no point",
  )
  flags.DEFINE_list(
    "missing",
    [],
    "csv: more marks of a missing value, separated by commas, beside the empty "
    "cell, NA, N/A, NaN, null, None and ?",
  )


def _define_columns():
  flags.DEFINE_enum(
    "dates",
    None,
    ("drop", "number"),
    "csv, parquet: columns of dates: left out, or days since 1970; unset: "
    "refused",
  )
  flags.DEFINE_string(
    "label_column",
    None,
    "csv, parquet: name of what is learned; unset: the last column",
  )
  flags.DEFINE_list(
    "drop_columns", [], "csv, parquet: names of columns to leave out"
  )
  flags.DEFINE_list(
    "word_columns",
    [],
    "csv, parquet: names of columns of words that look like numbers",
  )


def check():
  """Refuses flags that the dataset does not read."""
  text = _TEXT + _TABLE
  dataset = flags.FLAGS.dataset
  used = {"csv": text, "parquet": _TABLE}.get(dataset, ())
  for name in text:
    if name not in used and flags.FLAGS[name].present:
      flag_rules.stop(f"--{name} has no effect with --dataset={dataset}")


def values():
  """{field of `training.table_options.Options`: value}."""
  given = flags.FLAGS
  return {
    "separator": _SPELLED.get(given.separator, given.separator),
    "encoding": given.encoding,
    "header": given.header,
    "decimal": {"point": ".", "comma": ","}.get(given.decimal, "auto"),
    "dates": given.dates,
    "label": given.label_column,
    "drop": tuple(given.drop_columns),
    "words": tuple(given.word_columns),
    "missing": tuple(mark.strip().lower() for mark in given.missing),
  }


def _is_separator(value):
  if value is None or len(value) == 1 or value in _SPELLED:
    return True
  rule = "one character, tab or space"
  raise flags.ValidationError(f"must be {rule}; got {value!r}")


def _is_encoding(value):
  try:
    "".encode(codecs.lookup(value).name)
  except (LookupError, ValueError):
    rule = "an encoding that Python knows, as utf-8, cp1252 or latin-1"
    raise flags.ValidationError(f"must be {rule}; got {value!r}") from None
  return True
