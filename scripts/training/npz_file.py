"""Arrays in an .npz file, which may be anybody's: only what it says is read.

A file says in a few bytes that an array is as large as it likes. So the heads
of all arrays are read first, and held against the file and the memory; pickled
objects are never looked at. Every byte of an array is read, because the file's
checksums are compared only then.
"""

import ast
import dataclasses
import math
import os
import re
import sys
import zipfile

import numpy as np

from cli.exits import DataError
from training import memory

_MAGIC = b"\x93NUMPY"
_ZIPPED = (b"PK\3\4", b"PK\5\6")  # with members, and without
_END = (1 << 16) + 22  # bytes that a zip file's end takes at most
_UNKNOWN = 0xFFFF  # members of a file of 4 GiB, counted elsewhere
# Bytes of the head's length, by the version of the format; a third one is for
# names of fields, which no array of numbers has.
_LENGTHS = {(1, 0): 2, (2, 0): 4}
_LONGEST_HEAD = 10_000
_DTYPE = re.compile(r"[<>|=]?[fiubSU]\d{1,9}")
_KEYS = {"descr", "fortran_order", "shape"}
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1  # a bit of a member's flags
# An array as it is trained on takes 4 bytes a number, or more.
_FLOAT32 = 4


@dataclasses.dataclass(frozen=True)
class _Head:
  """What an array's head says.

  Attributes:
    size: bytes before the values.
    shape: a tuple of ints >= 0.
    dtype: a np.dtype without objects and fields.
    columns_first: whether the first index runs fastest.
  """

  size: int
  shape: tuple
  dtype: np.dtype
  columns_first: bool

  @property
  def bytes(self):
    """What the values take, an int of any size."""
    return math.prod(self.shape) * self.dtype.itemsize


class NpzFile:
  """The arrays of an .npz file.

  Args:
    path: the file.

  Raises:
    DataError: if it is none.

  Attributes:
    names: of the arrays that it has, sorted.
  """

  def __init__(self, path):
    self._path = path
    self._members = {}
    for member in self._list():
      name = member.filename.removesuffix(".npy")
      self._members.setdefault(name, []).append(member)
    self.names = sorted(self._members)

  def read(self, names):
    """Some of its arrays.

    Args:
      names: of arrays that it has.

    Returns:
      Arrays in the machine's own order of bytes, as many.

    Raises:
      DataError: if one is no array of numbers or text, is not whole, or they
        take more memory than there is.
    """
    try:
      with zipfile.ZipFile(self._path) as file:
        heads = [self._head(file, name) for name in names]
        self._check_room(heads)
        pairs = zip(names, heads, strict=True)
        return [self._values(file, name, head) for name, head in pairs]
    except (DataError, MemoryError):
      raise
    except Exception as error:  # zipfile raises what its decoders raise
      raise self._broken(error) from error

  def _list(self):
    """The zip file's members."""
    try:
      with open(self._path, "rb") as file:
        start = file.read(len(_MAGIC))
      if start == _MAGIC:
        raise DataError(f"--data_path={self._path} is one array, no .npz")
      if start[:4] not in _ZIPPED:
        raise DataError(f"--data_path={self._path} is no plain .npz file")
      with zipfile.ZipFile(self._path) as file:
        members = file.infolist()
      if _count(self._path) not in (len(members), _UNKNOWN):
        raise zipfile.BadZipFile("its list of arrays is damaged")
      return members
    except DataError:
      raise
    except Exception as error:  # zipfile raises what a damaged list makes it
      raise self._broken(error) from error

  def _broken(self, error):
    text = str(error) or type(error).__name__
    return DataError(f"--data_path={self._path} is no plain .npz file ({text})")

  def _refuse(self, name, reason):
    raise DataError(f"--data_path={self._path}: the array {name} {reason}")

  def _open(self, file, name):
    """An array's bytes."""
    members = self._members[name]
    if len(members) > 1:
      self._refuse(name, f"is there {len(members)} times")
    if members[0].flag_bits & _ENCRYPTED:
      self._refuse(name, "is encrypted")
    if members[0].compress_type not in _METHODS:  # it may unpack without bound
      self._refuse(name, "is compressed otherwise than by NumPy")
    return file.open(members[0])

  def _head(self, file, name):
    with self._open(file, name) as member:
      head = _read_head(member)
    if isinstance(head, str):
      self._refuse(name, head)
    (info,) = self._members[name]
    if info.file_size - head.size != head.bytes:
      shape = f"{head.dtype} {head.shape} are {head.bytes} bytes"
      self._refuse(name, f"is not whole: {shape}; it has "
                   f"{info.file_size - head.size}")  # fmt: skip
    return head

  def _check_room(self, heads):
    size = sum(max(h.bytes, math.prod(h.shape) * _FLOAT32) for h in heads)
    room = memory.available()
    if size > room:
      raise DataError(
        f"--data_path={self._path}: its arrays take {memory.text(size)}; "
        f"{memory.text(room)} of memory are left"
      )

  def _values(self, file, name, head):
    array = np.empty(math.prod(head.shape), head.dtype)
    with self._open(file, name) as member:
      member.read(head.size)
      view, done = array.view(np.uint8), 0
      while done < len(view):
        count = member.readinto(view[done : done + (1 << 24)])
        if not count:
          self._refuse(name, "is not whole")
        done += count
      member.read(1)  # at the end its checksum is compared
    array = array.astype(head.dtype.newbyteorder("="), copy=False)
    if not _is_sound(array):
      self._refuse(name, f"holds what is no {head.dtype.name}")
    order = "F" if head.columns_first else "C"
    return array.reshape(head.shape, order=order)


def _count(path):
  """How many members a zip file's end says that it has, which `zipfile` does
  not hold against its list."""
  with open(path, "rb") as file:
    file.seek(max(0, os.path.getsize(path) - _END))
    end = file.read()
  at = end.rindex(_ZIPPED[1]) + 10
  return int.from_bytes(end[at : at + 2], "little")


def _is_sound(array):
  """Whether all bytes are values of their type: not every byte is a bool, nor
  every number a character."""
  if array.dtype.kind == "b":
    return bool((array.view(np.uint8) <= 1).all())
  if array.dtype.kind == "U":
    return bool((array.view(np.uint32) <= sys.maxunicode).all())
  return True


def _read_head(file):
  """The `_Head` of an .npy file, or a text that says why there is none."""
  start = file.read(len(_MAGIC) + 2)
  version = tuple(start[len(_MAGIC) :])
  if start[: len(_MAGIC)] != _MAGIC or version not in _LENGTHS:
    return "is not in NumPy's format"
  length = file.read(_LENGTHS[version])
  size = int.from_bytes(length, "little")
  if len(length) < _LENGTHS[version] or size > _LONGEST_HEAD:
    return "has no head"
  fields = _literal(file.read(size).decode("latin-1"))
  if not isinstance(fields, dict) or set(fields) != _KEYS:
    return "has no head"
  shape, kind = fields["shape"], fields["descr"]
  if not isinstance(kind, str) or not _DTYPE.fullmatch(kind):
    if "O" in str(kind):
      return "holds Python objects, which are not unpickled"
    return f"must hold numbers, bools or text; it is {str(kind)[:40]!r}"
  sizes = isinstance(shape, tuple) and all(type(n) is int for n in shape)
  if not sizes or min(shape, default=0) < 0 or len(shape) > 32:
    return f"has no shape: {str(shape)[:40]}"
  dtype, order = _dtype(kind), fields["fortran_order"]
  if dtype is None or not isinstance(order, bool):
    return f"must hold numbers, bools or text; it is {kind!r}"
  before = len(start) + len(length) + size
  return _Head(before, shape, dtype, order)


def _dtype(kind):
  """The np.dtype of a text; None for a float of three bytes and the like."""
  try:
    dtype = np.dtype(kind)
  except (TypeError, ValueError):
    return None
  return dtype if dtype.itemsize else None


def _literal(text):
  """The value of a Python literal; None if it is none."""
  text = re.sub(r"(\d)L\b", r"\1", text)  # a long of Python 2
  try:
    return ast.literal_eval(text.strip(" \n"))
  except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
    return None
