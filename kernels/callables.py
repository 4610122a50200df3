"""Checks of a user's callables, and the errors that they raise.

An exception of the user's code is raised unchanged, without this project's
frames in its traceback. An error that the code can't be compiled names the
argument and the user's line.
"""

import contextlib
import functools
import inspect
import linecache
import os
import re
import sys
import types

from kernels import checks

# Frames of these are not a user's.
_OURS = ("trainloop", "kernels")
_LIBRARIES = (*_OURS, "keras", "tensorflow", "numpy", "absl", "optree", "tree")
_AROUND = re.compile(r"\x1b\[[0-9;]*m|\{\{.*?\}\} *| *\[Op:.*")
_ALONE = "without_frames"  # an error's attribute
# What TensorFlow and NumPy say of a tensor that has no value yet.
_NO_VALUE = re.compile(
  r"symbolic|SymbolicTensor|KerasTensor|Python `?bool`?|"
  r"not allowed in Graph|in graph mode|numpy\(\) is only available"
)


def check(name, value, *arguments, rule, **named):
  """Refuses what can't be called with some arguments.

  Args:
    name: of the argument that it is, for the error.
    value: what was given.
    *arguments: examples of what it will be called with, by position.
    rule: what it must be.
    **named: likewise, by name.

  Raises:
    ValueError: if it is no callable, or one of other arguments. A builtin
      that hides what it takes passes.
  """
  if not callable(value):
    checks.fail(name, value, rule)
  if not takes(value, *arguments, **named):
    raise checks.ArgumentError(f"`{name}` must be {rule}; got {_named(value)}")


def takes(function, *arguments, **named):
  """Whether a callable can be called so; True where it hides that."""
  signature = _signature(function)
  if signature is None:
    return True
  try:
    signature.bind(*arguments, **named)
  except TypeError:
    return False
  return True


def hides(function):
  """Whether a callable, as some builtins, does not say what it takes."""
  return _signature(function) is None


def _signature(function):
  try:
    return inspect.signature(function)
  except (TypeError, ValueError):
    return None


def _named(function):
  name = getattr(function, "__qualname__", type(function).__qualname__)
  return f"{name.rpartition('.')[2]}{_signature(function)}"


def public(method):
  """Decorator of a public function: removes its frames from a user's exception,
  and from one that names a bad argument.

  The traceback then leads from the user's call straight to the user's line, or
  ends in the call. `tf.debugging.disable_traceback_filtering()` keeps all.
  """

  @functools.wraps(method)
  def call(*args, **options):
    try:
      return method(*args, **options)
    except BaseException as error:
      if not _filters():
        raise
      _shorten(error.__cause__)
      entry = error.__traceback__
      theirs = next(filter(_is_users, _entries(entry)), None)
      is_told = hasattr(error, _ALONE) or isinstance(
        error, checks.ArgumentError
      )
      if theirs is not None or is_told:
        # A bare `raise` adds no entry: they are the only ones. Python 3.10
        # goes on with the first, which is this frame.
        entry.tb_next = error.__traceback__ = theirs
      raise

  return call


def _filters():
  """Whether tracebacks are to be short; TensorFlow's own switch says it."""
  tensorflow = sys.modules.get("tensorflow")  # not imported for this
  if tensorflow is None:
    return True
  return tensorflow.debugging.is_traceback_filtering_enabled()


def _shorten(error):
  """Has the traceback of what caused an error begin in a user's code."""
  entries = _entries(error.__traceback__) if error else []
  first = next(filter(_is_users, entries), None)
  if first is not None:
    error.__traceback__ = first


def alone(error):
  """An error that leaves a `public` function without any frame in it."""
  setattr(error, _ALONE, True)
  return error


def is_users(error):
  """Whether an error was raised in a line of a user's own code."""
  entries = _entries(error.__traceback__)
  return hasattr(error, _ALONE) or (bool(entries) and _is_users(entries[-1]))


def message(error):
  """A user's error in one line: its kind, its message, and where it is."""
  text = f"{type(error).__name__}: {reason(error)}"
  entries = _entries(error.__traceback__)
  if hasattr(error, _ALONE) or not entries:  # its text says where
    return text
  path, number = entries[-1].tb_frame.f_code.co_filename, entries[-1].tb_lineno
  return f"{text} (line {number} of {path})"


def reason(error):
  """The line of an error that says something: without Keras' preamble,
  TensorFlow's names of nodes, and colours."""
  # A KeyError's text is the repr of what it was made with.
  plain = isinstance(error, KeyError) and error.args
  text = _AROUND.sub("", str(error.args[0]) if plain else str(error))
  text = text.rpartition("Error encountered:")[2]
  lines = [line.strip() for line in text.splitlines() if line.strip()]
  said = [line for line in lines if not line.startswith("Exception enc")]
  return (said or lines or [type(error).__name__])[0]


@contextlib.contextmanager
def compiled(name):
  """Around calls of a user's code that are compiled.

  Args:
    name: of the argument that it is, for the error.

  Raises:
    ValueError: in place of what TensorFlow raises where that code needs a
      tensor's value; its traceback ends in the user's line.
  """
  try:
    yield
  except (TypeError, NotImplementedError, AttributeError, ValueError) as error:
    theirs = [e for e in _entries(error.__traceback__) if _is_users(e)]
    wrong = isinstance(error, checks.ArgumentError) or not theirs
    if wrong or not _NO_VALUE.search(str(error)):
      raise
    told = checks.ArgumentError(
      f"`{name}` must be made of TensorFlow or Keras ops, as it is compiled "
      "(tf.where in place of `if`, no NumPy, no float()); got "
      f"{line_of(theirs[-1])}"
    )
    end = theirs[-1]
    place = (end.tb_frame, end.tb_lasti, end.tb_lineno)
    raise told.with_traceback(types.TracebackType(None, *place)) from None


def line_of(entry):
  """A traceback's entry in words: the line's text, number and file."""
  path, number = entry.tb_frame.f_code.co_filename, entry.tb_lineno
  text = linecache.getline(path, number).strip()
  where = f"line {number} of {os.path.basename(path)}"
  return f"{text!r} ({where})" if text else where


def _entries(traceback):
  """The entries of a traceback, outermost first."""
  found = []
  while traceback is not None:
    found.append(traceback)
    traceback = traceback.tb_next
  return found


def _is_users(entry):
  """Whether a traceback's entry is in code of a user's."""
  module = entry.tb_frame.f_globals.get("__name__") or ""
  top = module.partition(".")[0]
  return top not in _LIBRARIES and top not in sys.stdlib_module_names
