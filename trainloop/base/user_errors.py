"""What a user's Python raised inside TensorFlow's runtime, as itself.

TensorFlow gives what a generator or a Python function raises as an error of
its own, whose text holds name, message and traceback. Here it becomes an error
of the user's kind again, in one line.
"""

import ast
import builtins
import functools
import re

import tensorflow as tf

from kernels import callables

# What TensorFlow puts before it, and how it then reads.
_BEFORE = re.compile(
  r"\{\{.*?\}\} *|Error in user-defined function .*? iterator: \S+: "
)
_RAISED = re.compile(
  r"^(\w[\w.]*): (.*?)\nTraceback \(most recent call last\):\n(.*)",
  re.DOTALL | re.MULTILINE,
)
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')
_LIBRARIES = re.compile(r"/(tensorflow|keras|numpy|autograph)/")


def translated(method):
  """A function in which a user's Python may fail under TensorFlow.

  Raises:
    What the user's code raised, its text in one line that ends in the place:
    of its own kind where that is a builtin, a RuntimeError that names the
    kind where it is not.
  """

  @functools.wraps(method)
  def call(*args, **options):
    try:
      return method(*args, **options)
    except tf.errors.OpError as error:
      theirs = of(error)
      if theirs is None:
        raise
      raise callables.alone(theirs) from None

  return call


def of(error):
  """The user's error in one of TensorFlow's, or None if there is none.

  Args:
    error: a `tf.errors.OpError`.
  """
  match = _RAISED.search(_BEFORE.sub("", str(error)))
  if match is None:
    return None
  name, message, trace = match.groups()
  message = " ".join(message.split())
  told = f"{name}: {message}" if message else name
  frames = [f for f in _FRAME.findall(trace) if not _LIBRARIES.search(f[0])]
  where = "in a Python function that TensorFlow called"
  if frames:
    path, line, function = frames[-1]
    where = f"line {line} of {path}, in {function}"
  kind = getattr(builtins, name, None)
  if not isinstance(kind, type) or not issubclass(kind, Exception):
    return RuntimeError(f"{told} ({where})")
  if kind is KeyError:  # its text is the key's repr
    message = _unquoted(message)
  try:
    return kind(f"{message or name} ({where})")
  except TypeError:  # those of several arguments, as UnicodeDecodeError
    return RuntimeError(f"{told} ({where})")


def _unquoted(text):
  try:
    return str(ast.literal_eval(text))
  except (ValueError, SyntaxError):
    return text
