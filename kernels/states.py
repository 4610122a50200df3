"""What a schedule is made of, as one value that can be compared."""

import dataclasses
import functools

import numpy as np

_PLAIN = {type(None), bool, int, float, str, bytes}


@functools.singledispatch
def of(value):
  """A hashable value that equal values have in common, and no others.

  Numbers and text are equal by value, as are lists, dicts and arrays of them;
  a dataclass or a Keras schedule by its class and all that it holds. Anything
  else, a function or a variable, is equal to nothing but itself.

  Args:
    value: a schedule, or what one holds.
  """
  if type(value) in _PLAIN or isinstance(value, np.generic):
    return value
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    return of_object(value)
  return object, id(value)


@of.register(list)
@of.register(tuple)
def _of_sequence(value):
  if set(map(type, value)) <= _PLAIN:  # a table may have a million rates
    return tuple(value)
  return tuple(map(of, value))


@of.register(dict)
def _of_dict(value):
  return dict, tuple((of(key), of(one)) for key, one in value.items())


@of.register(np.ndarray)
def _of_array(value):
  if value.dtype.hasobject:
    return of(value.tolist())
  return value.dtype.str, value.shape, value.tobytes()


def of_object(value):
  """(class, (name, state) of each attribute, in the order of names)."""
  kind = type(value)
  names = set(getattr(value, "__dict__", ()))
  for one in kind.__mro__:
    slots = vars(one).get("__slots__", ())
    names.update([slots] if isinstance(slots, str) else slots)
  held = ((n, getattr(value, n)) for n in sorted(names) if _holds(value, n))
  return kind, tuple((name, of(one)) for name, one in held)


def _holds(value, name):
  """Whether an attribute is there, and not worked out from the others."""
  worked_out = getattr(type(value), name, None)
  if isinstance(worked_out, functools.cached_property):
    return False
  return not name.startswith("__") and hasattr(value, name)
