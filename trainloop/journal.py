"""The row journal: every row of a run in one file of float32."""

import os
import zlib

import numpy as np

from trainloop import run_files, run_names
from trainloop.window import COLUMNS

_BYTES = 4 * len(COLUMNS)
_CHUNK = 1 << 24


class RowJournal:
  """Rows of all updates; that of step t stands at t times its size.

  Rows wait in memory, where `history` has them anyway, until `flush`.

  Args:
    workdir: the run's folder.

  Attributes:
    crc: CRC-32 of what is in the file.
  """

  def __init__(self, workdir):
    self._path = os.path.join(workdir, run_names.JOURNAL)
    self._file, self._waiting = None, []
    self.crc = 0

  def exists(self, empty=True):
    """Whether the file is there; or, unless `empty`, there with rows."""
    there = os.path.exists(self._path)
    return there and (empty or os.path.getsize(self._path) > 0)

  def open(self, step):
    """Cuts off the rows from `step` on, and opens the file.

    Returns:
      Whether the file had that many rows.
    """
    self._file = run_files.opened(self._path)
    whole = os.fstat(self._file).st_size >= step * _BYTES
    os.ftruncate(self._file, step * _BYTES)
    self._offset, self._waiting, self.crc = step * _BYTES, [], 0
    for start in range(0, self._offset, _CHUNK):
      size = min(_CHUNK, self._offset - start)
      self.crc = zlib.crc32(os.pread(self._file, size, start), self.crc)
    return whole

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
      OSError: if the disk does not take them; they wait on.
    """
    tables = [np.ascontiguousarray(b) for b in self._waiting[:blocks]]
    content = b"".join(table.tobytes() for table in tables)
    done = 0
    while done < len(content):
      part = content[done : done + _CHUNK]
      done += os.pwrite(self._file, part, self._offset + done)
    os.fsync(self._file)
    del self._waiting[:blocks]
    self._offset += len(content)
    self.crc = zlib.crc32(content, self.crc)

  def read(self, first, last):
    """Rows of the steps first .. last-1, float32 (n, columns)."""
    if first == last:
      return np.zeros((0, len(COLUMNS)), np.float32)
    count = (last - first) * len(COLUMNS)
    found = np.fromfile(self._path, np.float32, count, offset=first * _BYTES)
    return found.reshape(-1, len(COLUMNS))
