"""Lines of the start-up summary: a label, and a text."""

_LABEL = 10  # columns


def labelled(label, text):
  """A line with its label in the first column."""
  return f"{label:<{_LABEL}}{text}"


def cut(text, size):
  """The text, or its start and two dots where it is longer."""
  return text if len(text) <= size else text[: size - 2] + ".."
