"""How far a file goes that grows: its bytes, their CRC-32, and whether it is
still the one that was opened."""

import os
import typing
import zlib

_CHUNK = 1 << 22


class Extent(typing.NamedTuple):
  """The first `size` bytes of a file, whose CRC-32 is `crc`."""

  size: int
  crc: int


class VanishedError(OSError):
  """What a run writes to is no longer where the run made it."""


def vanished(path):
  """Raises the error of a file or folder that is not the run's any more."""
  raise VanishedError(
    f"{path} was removed or replaced while the run went on; the same command "
    "goes on from the checkpoint before"
  )


def is_same(descriptor, path):
  """Whether a path still names the file, or folder, that was opened."""
  try:
    return os.path.samestat(os.stat(path), os.fstat(descriptor))
  except (FileNotFoundError, NotADirectoryError):
    return False


def refuse_shorter(folder, extents):
  """Raises where a file is gone, or shorter than it was.

  Args:
    folder: what they are in.
    extents: {path below it: `Extent`}.
  """
  for path, extent in extents.items():
    full = os.path.join(folder, path)
    if not os.path.exists(full) or os.path.getsize(full) < extent.size:
      vanished(full)


def extend(descriptor, extent, size=None):
  """The `Extent` of an open file up to some size, from that of its beginning.

  Args:
    descriptor: the open file.
    extent: what is known already, and is not read again.
    size: how far, or None for all.

  Raises:
    OSError: if it can't be read.
  """
  if size is None:
    size = os.fstat(descriptor).st_size
  reached, crc = extent
  while reached < size:
    block = os.pread(descriptor, min(_CHUNK, size - reached), reached)
    if not block:
      break
    reached, crc = reached + len(block), zlib.crc32(block, crc)
  return Extent(reached, crc)
