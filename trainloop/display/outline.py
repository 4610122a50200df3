"""Which steps of a curve are drawn: where it bends, and a coarse grid.

A plan of 10^8 updates is no table of 10^8 points. Drawn are all corners that
the schedule names, with the step before each; a grid; and more points where a
straight line between two would miss the curve, or beside a peak. Each has the
kernel's own bits. Time and memory are those of the points, not of the steps.
"""

import typing

import numpy as np

import kernels
from kernels.steps import Steps

# A curve of so many steps or fewer is drawn step by step.
MOST = 100_000
# What a straight line between two points may miss, as a share of the value;
# values below _SMALL of the highest count as that.
TOLERANCE = 1e-4
_SMALL = 1e-6
# Shares of the points: pairs at corners, and the grid. The rest refines.
_CORNERS, _GRID = 0.4, 0.125


class Outline(typing.NamedTuple):
  """Points of a curve.

  Attributes:
    steps: int64 (n,), ascending.
    rates, momenta: float32 (n,), the curve's own values there; momenta is
      None where the schedule leaves it alone.
    left_out: corners that were too many to be among the points.
    others: {name: float32 (n,)} of further hyperparameters at these steps.
  """

  steps: np.ndarray
  rates: np.ndarray
  momenta: np.ndarray | None
  left_out: int = 0
  others: typing.Any = {}

  def note(self, total):
    """What is not shown of a curve of `total` steps, in words; or ""."""
    if not self.left_out:
      return ""
    shown = f"{len(self.steps):,} of {total:,} steps"
    return f"the plan shows {shown}; {self.left_out:,} corners are left out"


def of(schedule, first, last, most=None):
  """The `Outline` of a schedule over the steps first .. last-1.

  Args:
    schedule: a `kernels.Schedule`.
    first, last: its own steps, first < last.
    most: points at most, int >= 16; None for `MOST`.
  """
  most = most or MOST
  if last - first <= most:
    steps = np.arange(first, last, dtype=np.int64)
    return Outline(steps, *kernels.tabulate(schedule, steps))
  every = [
    Steps.of(corners).within(first + 1, last)
    for corners in schedule.corners(last)
  ]
  drawn = _spread(every, int(_CORNERS * most))
  left_out = sum(map(len, every)) - sum(map(len, drawn))
  corners = np.concatenate([np.zeros(0, np.int64), *drawn])
  grid = first + np.linspace(0, last - 1 - first, int(_GRID * most)).astype(int)
  grid[-1] = last - 1  # past 2^53 linspace rounds
  steps = np.unique(np.concatenate([grid, corners, corners - 1]))
  points = _Points(schedule, steps, corners, every if left_out else ())
  while points.refine(most):
    pass
  rates, momenta = [*points.values, None][:2]
  return Outline(points.steps, rates, momenta, left_out)


def _spread(parts, room):
  """At most about `room` of all corners, int64 arrays, a part each.

  Short parts are whole; of a long one there are pairs of neighbours, so that
  a whole cycle is drawn here and there.
  """
  found = []
  for i, part in enumerate(sorted(parts, key=len)):
    share = room // (len(parts) - i)
    if len(part) <= share:
      chosen = np.arange(len(part))
    else:
      pairs = np.linspace(0, len(part) - 2, share // 2).astype(np.int64)
      chosen = np.unique(np.concatenate([pairs, pairs + 1]))
    found.append(part.take(chosen))
    room -= len(chosen)
  return found


class _Points:
  """Points of a curve that get more, level by level.

  Args:
    schedule: a `kernels.Schedule`.
    steps: int64 (n,), ascending: the points to begin with.
    corners: those of them that need no search around them.
    hidden: `Steps` of all corners if some of them are left out, else empty;
      an interval that holds one is not refined.
  """

  def __init__(self, schedule, steps, corners, hidden):
    self._schedule, self._hidden = schedule, hidden
    self._corners = np.unique(np.concatenate([corners, corners - 1]))
    self.steps, self.values = steps, self._table(steps)
    # The least value that a miss is a share of, a column.
    tiny = np.finfo(np.float32).tiny
    self._least = [_SMALL * v.max() + tiny for v in self.values]
    self._fresh = np.ones(len(steps) - 1, bool)

  def refine(self, most):
    """Puts three points into each interval that needs them.

    Args:
      most: points at most.

    Returns:
      Whether there was one.
    """
    beside = self._beside_peaks()
    wide = (np.diff(self.steps) > 1) & (self._fresh | beside)
    looked = np.flatnonzero(wide)
    looked = looked[~self._hides(looked)]
    self._fresh[:] = False
    low, high = self.steps[looked], self.steps[looked + 1]
    inner = np.stack([low + (high - low) * k // 4 for k in (1, 2, 3)], axis=1)
    misses, values = self._misses(looked, inner)
    needed = np.flatnonzero((misses > TOLERANCE) | beside[looked])
    order = np.argsort(-misses[needed], kind="stable")
    needed = needed[order[: max(0, most - len(self.steps)) // 3]]
    self._insert(inner[needed].ravel(), [v[needed].ravel() for v in values])
    return len(needed) > 0

  def _table(self, steps):
    """The curve's columns, float32: rates, and momenta if it sets them."""
    found = kernels.tabulate(self._schedule, steps)
    return [column for column in found if column is not None]

  def _misses(self, looked, inner):
    """(how far lines are off at steps inside intervals, the values there)."""
    left, right = self.steps[looked, None], self.steps[looked + 1, None]
    share = (inner - left) / np.maximum(right - left, 1)
    worst, values = np.zeros(len(looked)), self._table(inner)
    columns = zip(self.values, values, self._least, strict=True)
    for known, found, least in columns:
      known = known.astype(np.float64)
      start, end = known[looked, None], known[looked + 1, None]
      line = start + (end - start) * share
      miss = np.abs(found - line) / np.maximum(np.maximum(found, line), least)
      worst = np.maximum(worst, miss.max(axis=1, initial=0.0))
    return worst, values

  def _hides(self, looked):
    """Whether intervals hold corners that are no points."""
    counts = [
      part.below(self.steps[looked + 1] + 1)
      - part.below(self.steps[looked] + 1)
      for part in self._hidden
    ]
    return sum(counts, np.zeros(len(looked), np.int64)) > 0

  def _beside_peaks(self):
    """Which intervals touch a highest or lowest point between corners."""
    found = np.zeros(len(self.steps) - 1, bool)
    inside = ~np.isin(self.steps[1:-1], self._corners)
    for values in self.values:
      sign = np.sign(np.diff(values))
      turns = (sign[:-1] * sign[1:] < 0) & inside
      found[:-1] |= turns
      found[1:] |= turns
      # Two points of equal height with the peak between them.
      found[1:-1] |= (sign[1:-1] == 0) & (sign[:-2] * sign[2:] < 0)
    return found

  def _insert(self, steps, values):
    """Adds points; the intervals around them are new."""
    every = np.concatenate([self.steps, steps])
    kept, first = np.unique(every, return_index=True)
    added = first >= len(self.steps)
    columns = zip(self.values, values, strict=True)
    self.values = [np.concatenate(pair)[first] for pair in columns]
    self.steps, self._fresh = kept, added[:-1] | added[1:]
