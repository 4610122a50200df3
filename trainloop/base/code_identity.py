"""What a user's functions and classes are: checksums of their code.

Bytecode without line numbers, comments and docstrings, so that moving a
function changes nothing. Another Python compiles otherwise, so a checksum
says which one made it, and those of two are not compared.
"""

import dis
import inspect
import sys
import types
import zlib

_LIBRARIES = ("keras", "tensorflow", "numpy", "kernels", "trainloop")
_LIBRARIES += ("builtins", "functools", "abc", "typing", "collections")
# Objects that lead to the whole process, and say nothing of an update.
_LIBRARIES += ("absl", "logging")
# They enter no update.
_ASIDE = ("get_config", "from_config", "summary", "get_build_config")
_ASIDE += ("build_from_config", "get_compile_config", "compile_from_config")
_ASIDE += ("train_step", "test_step", "predict_step", "fit", "evaluate")
_ASIDE += ("predict", "__repr__", "__str__", "__reduce__", "__hash__", "__eq__")
_MARK = "code "  # what a checksum's text begins with
UNKNOWN = "not compared"  # in the place of what can't be told


def is_library(thing):
  """Whether a function or class is of a library, and known by its name."""
  module = getattr(thing, "__module__", None) or "builtins"
  return module.partition(".")[0] in _LIBRARIES


def checksum(functions):
  """A text that tells the code of some functions from other code."""
  crc = 0
  for function in functions:
    crc = _of_code(function.__code__, crc, function.__doc__)
  tag = sys.implementation.cache_tag
  tag += f".opt{sys.flags.optimize}" if sys.flags.optimize else ""
  return f"{_MARK}{crc:08x} of {tag}"


def comparable(old, new):
  """Whether two values are known, and not checksums that two Pythons made."""
  if UNKNOWN in (old, new):
    return False
  texts = isinstance(old, str) and isinstance(new, str)
  if not texts or not (old.startswith(_MARK) and new.startswith(_MARK)):
    return True
  return old.split(" of ")[1:] == new.split(" of ")[1:]


def methods(kind):
  """The functions of a user's class and of those of the user's above it."""
  found = []
  for one in kind.__mro__:
    for name, value in () if is_library(one) else sorted(vars(one).items()):
      value = getattr(value, "fget", None) or getattr(value, "__func__", value)
      value = getattr(value, "python_function", value)
      if isinstance(value, types.FunctionType) and name not in _ASIDE:
        found.append(value)
  return found


def assigned(functions):
  """Names of the attributes that some functions set."""
  return {
    step.argval
    for function in functions
    for step in _steps(function.__code__)
    if step.opname == "STORE_ATTR"
  }


def values(function):
  """{name: value} of what a function has beside its code: what it closes
  over, globals that it reads, defaults; not what it sets itself, nor
  modules and classes."""
  steps = list(_steps(function.__code__))
  stored = ("STORE_GLOBAL", "STORE_DEREF")
  changed = {step.argval for step in steps if step.opname in stored}
  # A cell that nested functions make their own is stored where it is made.
  free = function.__code__.co_freevars
  read = {step.argval for step in steps if step.opname == "LOAD_GLOBAL"}
  found = {n: v for n, v in function.__globals__.items() if n in read}
  for name, cell in zip(free, function.__closure__ or (), strict=True):
    try:
      found[name] = cell.cell_contents
    except ValueError:  # nothing was put in yet
      continue
  defaults = inspect.signature(function).parameters.values()
  found = {n: v for n, v in found.items() if n not in changed}
  found |= {p.name: p.default for p in defaults if p.default is not p.empty}
  aside = (types.ModuleType, type)
  return {n: v for n, v in found.items() if not isinstance(v, aside)}


def _steps(code):
  """The instructions of some code and of what is defined in it."""
  yield from dis.get_instructions(code)
  for constant in code.co_consts:
    if isinstance(constant, types.CodeType):
      yield from _steps(constant)


def _of_code(code, crc, doc=None):
  """The CRC-32 of code behind other code, its docstring left out."""
  crc = zlib.crc32(code.co_code, crc)
  crc = zlib.crc32(repr(code.co_names).encode(), crc)
  for i, constant in enumerate(code.co_consts):
    if isinstance(constant, types.CodeType):
      crc = _of_code(constant, crc)
    elif i or constant not in (None, doc):  # where a docstring stands
      crc = zlib.crc32(_text(constant).encode(), crc)
  return crc


def _text(constant):
  """A constant's repr, the same whatever hashes a process has."""
  if isinstance(constant, frozenset):
    return f"{{{', '.join(sorted(map(_text, constant)))}}}"
  return repr(constant)
