"""The numbers in the names of functions that are traced for XLA.

TensorFlow numbers all functions and tensors of a process with one counter, and
the numbers stand in what XLA compiles. After a restart, which restores before
it traces, the same window had other numbers, so that no cache of executables
knew it.
"""

import contextlib
import itertools
import threading
import zlib

# Private: TensorFlow has no other way to name a function's parts.
from tensorflow.python.framework import ops

from trainloop.base import stand_ins

_UID = stand_ins.StandIn(ops, "uid")
_FIRST = 1 << 60  # far from TensorFlow's own count
_BITS = 24  # of the numbers of one trace
_lock, _taken = threading.Lock(), set()


@contextlib.contextmanager
def settled(text):
  """A context in which this thread's traces are numbered by a text alone.

  Args:
    text: what tells one trace from others; the second with the same one has
      other numbers, the same in each process.
  """
  start = zlib.crc32(text.encode())
  with _lock:
    while start in _taken:  # a name must be new in its process
      start += 1
    _taken.add(start)
  numbers = itertools.count(_FIRST + (start << _BITS))
  with _UID.used(numbers.__next__, stand_ins.of_this_thread()):
    yield
