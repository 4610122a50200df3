"""Objects of Keras' and of users' as JSON values that can be compared."""

import functools
import math
import re
import types
import warnings
import zlib

import keras
import numpy as np
import tensorflow as tf

from trainloop.base import code_identity, strict_json

_SHORT, _DEEP = 16, 12  # numbers that are shown; objects inside objects
# They are described on their own, or are moved by training.
_APART = (keras.layers.Layer, keras.optimizers.Optimizer, tf.Module)
_FUNCTIONS = (types.FunctionType, functools.partial)
_VARIABLES = (keras.Variable, tf.Variable)
_OBJECTS = ("__tensor__", "__numpy__")


class Description:
  """Describes objects; names what it can't tell from others.

  A class or function of a library is known by its name; a user's by the
  checksum of its code, and by the values that it holds or reads.

  Attributes:
    left_out: paths of what is not compared, in the order of asking.
  """

  def __init__(self):
    self.left_out, self._inside = [], []

  def of(self, value, path):
    """A value as JSON types.

    Args:
      value: anything.
      path: where it stands, for `left_out`.
    """
    if value is None or isinstance(value, (bool, int, str)):
      return value
    if isinstance(value, (float, np.generic)):
      return _number(value)
    if isinstance(value, _VARIABLES):  # its value is trained, or drawn
      return f"variable {value.dtype} {tuple(value.shape)}"
    if isinstance(value, (np.ndarray, tf.Tensor)):
      return self._array(value, path)
    if isinstance(value, (list, tuple)):
      return self._list(value, path)
    if isinstance(value, dict):
      return {str(k): self.of(v, f"{path}.{k}") for k, v in value.items()}
    if isinstance(value, (set, frozenset)):
      return sorted((self.of(v, path) for v in value), key=strict_json.dumps)
    if isinstance(value, (type, tf.DType)):
      return getattr(value, "name", None) or value.__qualname__
    if any(one is value for one in self._inside) or len(self._inside) > _DEEP:
      return {"kind": _name(value)}
    self._inside.append(value)
    try:
      return self._object(value, path)
    finally:
      self._inside.pop()

  def config(self, value, path):
    """What an object's `get_config` says, without names that count the
    objects of a process; {} where it says nothing."""
    try:
      with warnings.catch_warnings():  # of a lambda, which is told otherwise
        warnings.simplefilter("ignore")
        config = value.get_config()
      if not isinstance(config, dict):
        raise TypeError("no dict")
    except Exception:  # a user's code: it may raise anything
      if code_identity.is_library(type(value)):
        self.left_out.append(path)
      return {}
    described = {}
    for key, one in config.items():
      if key == "name" and not self._tells(value):
        continue
      own = getattr(value, key, None)
      if isinstance(own, _FUNCTIONS):  # whose code no config tells
        described[key] = self.of(own, f"{path}.{key}")
      elif not _is_apart(own):
        described[key] = self._serialized(one, own, f"{path}.{key}")
    return described

  def own(self, value, path, every=False):
    """What a user's class adds: its code, and values that it has set.

    Args:
      value, path: see `of`.
      every: whether all attributes count, not only those its code sets.
    """
    kind = type(value)
    if code_identity.is_library(kind):
      return {}
    functions = code_identity.methods(kind)
    names = vars(value) if every else code_identity.assigned(functions)
    held = {n: vars(value)[n] for n in sorted(names) if n in vars(value)}
    held = {n: v for n, v in held.items() if not _is_apart(v)}
    read = {}
    for function in functions:
      read |= code_identity.values(function)
    return {
      "code": code_identity.checksum(functions),
      **self._values({**read, **held}, path),
    }

  def _values(self, held, path):
    held = {n: v for n, v in held.items() if not _is_apart(v)}
    described = {n: self.of(v, f"{path}.{n}") for n, v in held.items()}
    return {"values": described} if described else {}

  def _object(self, value, path):
    inner = getattr(value, "python_function", None)  # of a tf.function
    if inner is not None:
      return self.of(inner, path)
    if isinstance(value, functools.partial):
      parts = {"args": value.args, "keywords": value.keywords}
      return {**self.of(value.func, path), **self.of(parts, path)}
    if isinstance(value, types.MethodType):
      described = self._function(value.__func__, path)
      return {**described, "self": self.of(value.__self__, path)}
    if isinstance(value, types.FunctionType):
      return self._function(value, path)
    if isinstance(value, (types.ModuleType, types.BuiltinFunctionType)):
      return _name(value)
    if _is_apart(value):
      return {"kind": type(value).__name__}
    config = self.config(value, path) if hasattr(value, "get_config") else {}
    described = {"kind": type(value).__name__, **config}
    if not code_identity.is_library(type(value)) and hasattr(value, "__dict__"):
      every = not hasattr(value, "get_config")
      return {**described, **self.own(value, path, every)}
    if not config and not code_identity.is_library(value):
      self.left_out.append(path)
    return described

  def _function(self, function, path):
    if code_identity.is_library(function):
      return function.__qualname__
    return {
      "kind": function.__qualname__,
      "code": code_identity.checksum([function]),
      **self._values(code_identity.values(function), path),
    }

  def _serialized(self, value, own, path):
    """A part of a config: of an object, its class and its config.

    Args:
      value: as Keras serialized it.
      own: the object's attribute of that name, or None.
      path: see `of`.
    """
    if isinstance(value, (list, tuple)):
      return self._list(value, path, functools.partial(self._serialized))
    if not isinstance(value, dict):
      return self.of(value, path)
    kind, config = value.get("class_name"), value.get("config")
    if kind in ("function", "__lambda__"):
      if callable(own):
        return self.of(own, path)
      self.left_out.append(path)
      return {"kind": kind}
    if kind in _OBJECTS:
      return self._array(np.asarray(config["value"]), path)
    if kind is None or not isinstance(config, dict):
      return {
        str(k): self._serialized(v, None, f"{path}.{k}")
        for k, v in value.items()
      }
    if kind == "DTypePolicy":
      return config["name"]
    parts = {k: v for k, v in config.items() if k != "name"}
    user = own is not None and not code_identity.is_library(type(own))
    described = {k: self._serialized(v, getattr(own, k, None), f"{path}.{k}")
             for k, v in parts.items()}  # fmt: skip
    return {"kind": kind, **described, **(self.own(own, path) if user else {})}

  def _list(self, values, path, describe=None):
    if len(values) > _SHORT and all(map(_is_plain, values)):
      text = strict_json.dumps([_number(v) for v in values])
      return f"{len(values)} values, crc32 {zlib.crc32(text.encode()):08x}"
    if describe is not None:
      return [describe(v, None, f"{path}[{i}]") for i, v in enumerate(values)]
    return [self.of(v, f"{path}[{i}]") for i, v in enumerate(values)]

  def _array(self, value, path):
    try:
      array = np.asarray(value)
    except (NotImplementedError, TypeError):  # of a graph: it has no value
      self.left_out.append(path)
      return "a tensor"
    if array.size <= _SHORT and array.dtype.kind in "fiub":
      return self.of(array.tolist(), path)
    return f"{array.dtype} {array.shape}, crc32 {crc32([array]):08x}"

  def _tells(self, value):
    """Whether an object's name is a user's that shows: a metric's tag."""
    if not isinstance(value, keras.metrics.Metric):
      return False
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(value).__name__)
    return not re.fullmatch(rf"{words.lower()}(_\d+)?", value.name)


def crc32(arrays):
  """CRC-32 of the bytes of some arrays; of the texts of objects."""
  crc = 0
  for array in arrays:
    if array.dtype.kind == "O":
      crc = zlib.crc32(repr(array.tolist()).encode(), crc)
    else:
      array = np.ascontiguousarray(array)
      crc = zlib.crc32(array.tobytes(), crc)
  return crc


def _is_plain(value):
  return value is None or isinstance(value, (bool, int, float, str, np.generic))


def _number(value):
  """As JSON has it: an infinity or NaN as its text."""
  value = value.item() if isinstance(value, np.generic) else value
  if isinstance(value, float) and not math.isfinite(value):
    return repr(value)
  return value.decode(errors="replace") if isinstance(value, bytes) else value


def _is_apart(value):
  """Whether it is described elsewhere: layers, and lists of layers."""
  if isinstance(value, dict):
    value = list(value.values())
  if isinstance(value, (list, tuple)):
    return any(isinstance(one, _APART) for one in value)
  return isinstance(value, _APART)


def _name(value):
  return getattr(value, "__qualname__", None) or type(value).__qualname__
