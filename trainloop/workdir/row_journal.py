"""The row journal: every row of a run in one file of float32."""

import os
import zlib

import numpy as np

from trainloop.workdir import run_files, run_names
from trainloop.workdir.extents import is_same, vanished

# Rows of a block with a CRC of its own: what is damaged is found by blocks.
BLOCK = 1 << 14
_CHUNK = 1 << 24


class RowJournal:
  """Rows of all updates; that of step t stands at t times its size.

  Rows wait in memory, where `history` has them anyway, until `flush`.

  Args:
    workdir: the run's folder.
    layout: the `Layout` of its rows.

  Attributes:
    crcs: CRC-32 of each `BLOCK` rows in the file, the last block's in part.
  """

  def __init__(self, workdir, layout):
    self._width = layout.width
    self._row_bytes = 4 * self._width
    self._path = os.path.join(workdir, run_names.JOURNAL)
    self._file, self._waiting = None, []
    self.crcs = []

  def exists(self, empty=True):
    """Whether the file is there; or, unless `empty`, there with rows."""
    there = os.path.exists(self._path)
    return there and (empty or os.path.getsize(self._path) > 0)

  def open(self, step, crcs):
    """Cuts off the rows from `step` on, and opens the file.

    Args:
      step: rows that stay, which the file must have.
      crcs: their CRCs.
    """
    self._file = run_files.opened(self._path)
    self._offset, self._waiting = step * self._row_bytes, []
    self.crcs = list(crcs)
    self._refuse_vanished()
    os.ftruncate(self._file, self._offset)

  def close(self):
    """Closes the file; rows that wait are dropped."""
    if self._file is not None:
      os.close(self._file)
    self._file, self._waiting = None, []

  def add(self, rows):
    """Appends rows, float32 (n, columns); `flush` writes them."""
    self._waiting.append(rows)

  @property
  def waiting(self):
    """How many blocks of rows wait."""
    return len(self._waiting)

  def flush(self, blocks):
    """Makes the first so many waiting blocks durable; on any thread.

    Raises:
      VanishedError: if the file was removed, replaced or cut meanwhile.
      OSError: if the disk does not take them; they wait on.
    """
    self._refuse_vanished()
    tables = [np.ascontiguousarray(b) for b in self._waiting[:blocks]]
    content = b"".join(table.tobytes() for table in tables)
    done = 0
    while done < len(content):
      part = content[done : done + _CHUNK]
      done += os.pwrite(self._file, part, self._offset + done)
    os.fsync(self._file)
    del self._waiting[:blocks]
    self.crcs = extended(self.crcs, self._offset, content, self._row_bytes)
    self._offset += len(content)

  def damaged(self, step, crcs):
    """Numbers of the blocks of the first `step` rows that have other CRCs.

    Raises:
      OSError: if the file is there and can't be read.
    """
    ends = [min((i + 1) * BLOCK, step) for i in range(len(crcs))]
    blocks = zip(ends, crcs, strict=True)
    return [
      i
      for i, (end, crc) in enumerate(blocks)
      if crcs_of(self.read_there(i * BLOCK, end)) != [crc]
    ]

  def replace(self, rows, part):
    """Writes the whole file anew, at once.

    Args:
      rows: float32 (n, columns).
      part: path of the file until it is whole.
    """
    with open(run_files.opened(part, new=True), "wb") as file:
      file.write(rows.tobytes())
      file.flush()
      os.fsync(file.fileno())
    run_files.replace(part, self._path)

  def _refuse_vanished(self):
    whole = os.fstat(self._file).st_size >= self._offset
    if not whole or not is_same(self._file, self._path):
      vanished(self._path)

  def read(self, first, last):
    """Rows of the steps first .. last-1, float32 (n, columns).

    Raises:
      OSError: if they can't be read, or are not all there.
    """
    rows = self.read_there(first, last)
    if len(rows) < last - first:
      vanished(self._path)
    return rows

  def read_there(self, first, last):
    """Those that the file has, if there is one; see `read`."""
    content = b""
    try:
      with open(self._path, "rb") as file:
        file.seek(first * self._row_bytes)
        content = file.read((last - first) * self._row_bytes)
    except FileNotFoundError:
      pass
    whole = len(content) // self._row_bytes * self._row_bytes
    table = np.frombuffer(content[:whole], np.float32)
    return table.reshape(-1, self._width)


def exists(workdir):
  """Whether a folder holds a row journal."""
  return os.path.exists(os.path.join(workdir, run_names.JOURNAL))


def extended(crcs, offset, content, row_bytes):
  """The CRCs of blocks once more bytes stand behind the first `offset`."""
  crcs, size = list(crcs), BLOCK * row_bytes
  while content:
    inside = offset % size
    if not inside:
      crcs.append(0)
    part, content = content[: size - inside], content[size - inside :]
    crcs[-1] = zlib.crc32(part, crcs[-1])
    offset += len(part)
  return crcs


def crcs_of(table):
  """The CRCs of the blocks of a whole table of rows."""
  blocks = range(0, len(table), BLOCK)
  return [zlib.crc32(table[i : i + BLOCK].tobytes()) for i in blocks]
