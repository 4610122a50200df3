"""What a cell of a table is: a number, a missing value, a word."""

# What programs write where a value is missing.
MISSING = ("", "na", "n/a", "nan", "null", "none", "?")
# In a label, the others may well be the name of a class.
MISSING_LABEL = ("", "nan")


def is_missing(cell):
  """Whether a text stands for no value."""
  return cell.strip().lower() in MISSING


def parses(cell, decimal="."):
  """Whether a text is a number, one that is not finite included; 1_000 and
  digits of other scripts, which Python takes, are none."""
  if "_" in cell or not cell.strip().isascii():
    return False
  try:
    float(cell.replace(decimal, "."))
  except ValueError:
    return False
  return True


def spelled(separator):
  """How a separator is called."""
  names = {"\t": "tab", " ": "space", ",": "comma", ";": "semicolon"}
  return names.get(separator, separator)
