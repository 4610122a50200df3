"""Ascending steps, also more of them than memory holds."""

import collections.abc

import numpy as np

_SHOWN = 20


class Steps(collections.abc.Sequence):
  """Ascending ints, made of ranges and tables: a restart every hundred steps
  of a run of 10^9 takes no more room than one of them.

  Equal to any sequence of the same ints; sliced, a list.

  Args:
    *parts: ranges and integer sequences, each ascending and behind the one
      before it.

  >>> starts = kernels.Triangular(0.0, 0.1, 50).cycle_starts(10**9)
  >>> len(starts), starts[:2], starts[-1]
  (9999999, [100, 200], 999999900)
  """

  def __init__(self, *parts):
    tables = [
      part if isinstance(part, range) else np.asarray(part, np.int64)
      for part in parts
    ]
    self._parts = [part for part in tables if len(part)]

  @classmethod
  def of(cls, steps):
    """`Steps` of any ascending sequence of ints."""
    return steps if isinstance(steps, cls) else cls(list(steps))

  def __len__(self):
    return sum(map(len, self._parts))

  def __iter__(self):
    for part in self._parts:
      yield from map(int, part)

  def __getitem__(self, index):
    index = range(len(self))[index]
    if isinstance(index, range):
      return self.take(np.array(index, np.int64)).tolist()
    for part in self._parts:
      if index < len(part):
        return int(part[index])
      index -= len(part)
    raise AssertionError("range() checks the index")

  def __eq__(self, other):
    if not isinstance(other, collections.abc.Sequence):
      return NotImplemented
    pairs = zip(self, other, strict=False)
    return len(self) == len(other) and all(a == b for a, b in pairs)

  __hash__ = None

  def __add__(self, later):
    return Steps(*self._parts, *Steps.of(later)._parts)

  def __repr__(self):
    if len(self) <= _SHOWN:
      return repr(list(self))
    shown = ", ".join(map(str, self[:_SHOWN]))
    return f"[{shown}, ..., {self[-1]}] ({len(self)} steps)"

  def take(self, indices):
    """Those at ascending `indices`, int64 NumPy of the same length."""
    found, offset = [np.zeros(0, np.int64)], 0
    for part in self._parts:
      first, last = np.searchsorted(indices, [offset, offset + len(part)])
      inside = indices[first:last] - offset
      ranged = isinstance(part, range)
      found.append(part.start + part.step * inside if ranged else part[inside])
      offset += len(part)
    return np.concatenate(found)

  def below(self, steps):
    """How many are smaller than each of `steps`, int64 NumPy of its shape."""
    counts = [_below(part, steps) for part in self._parts]
    return sum(counts, np.zeros(np.shape(steps), np.int64))

  def within(self, first, last):
    """Those in [first, last), as `Steps`."""
    return Steps(
      *(part[_below(part, first) : _below(part, last)] for part in self._parts)
    )

  def shifted(self, by):
    """Each plus an int, as `Steps`."""
    return Steps(
      *(
        range(part.start + by, part.stop + by, part.step)
        if isinstance(part, range)
        else part + by
        for part in self._parts
      )
    )


def _below(part, steps):
  """How many of a part are smaller than a step, or than each of an array."""
  if isinstance(part, range):
    before = -(-(steps - part.start) // part.step)
    return np.clip(before, 0, len(part))
  return np.searchsorted(part, steps)
