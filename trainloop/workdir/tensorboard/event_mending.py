"""The events of files that are damaged, in their order and each once."""

import itertools

import numpy as np
from tensorboard.compat.proto import event_pb2

from trainloop.model import rows as row_lib
from trainloop.workdir.tensorboard import event_file, row_recovery


def other(records, strange, layout):
  """What stays of a file without rows.

  Args:
    records: those of it that are whole.
    strange: those of whole files, which were not in this one.
    layout: the `Layout` of the run's rows.
  """
  points = row_recovery.read_all(dict.fromkeys(records), layout)
  kept = [p for p in points if not p.version and p.record not in strange]
  return [p.record for p in sorted(kept, key=_order)]


def train(files, hurt, strange, rows, logged, layout):
  """{path: records} of the files of run `train` that are damaged.

  Damaged files that follow one another become one, the first of them: nothing
  says which of their records stood in which.

  Args:
    files: {path: records that are whole}, in the order of time.
    hurt: paths of those that are damaged.
    strange: records of whole files.
    rows: float32 (steps, columns), NaN where nothing is known.
    logged: steps whose rows are events, ascending.
    layout: the `Layout` of the rows.
  """
  points = {p: row_recovery.read_all(files[p], layout) for p in files}
  sure = [p for path in files if path not in hurt for p in points[path]]
  found = {}
  for damaged, group in itertools.groupby(files, lambda path: path in hurt):
    if not damaged:
      continue
    group = list(group)
    first = _steps(points, files, lambda path, end=group[0]: path < end)
    after = _steps(points, files, lambda path, end=group[-1]: path > end)
    bounds = max(first, default=-1), min(after, default=len(rows))
    pool = {p.record: p for path in group for p in points[path]}
    pool = [p for p in pool.values() if p.record not in strange]
    found.update({path: [] for path in group})
    found[group[0]] = _made(pool, sure, bounds, rows, logged, layout)
  return found


def _steps(points, files, chosen):
  """Steps of the rows in some of the files."""
  return [
    p.step for f in files if chosen(f) for p in points[f] if p.row is not None
  ]


def _made(pool, sure, bounds, rows, logged, layout):
  """The records between two steps: those that are there and agree with the
  rows, and the rows' own where none is."""
  low, high = bounds
  there = {
    p.step: p
    for p in pool
    if p.row is not None and low < p.step < high and _agree(p, rows, layout)
  }
  kept = [p for p in pool if p.plain] + list(there.values())
  steps = [
    step
    for step in row_recovery.between(logged, low, high)
    if step not in there and not np.isnan(rows[step, row_lib.LEARNING_RATE])
  ]
  if steps:
    dated = {p.step: p.wall_time for p in [*sure, *there.values()] if _dated(p)}
    times = _times(steps, dated, [p.wall_time for p in [*kept, *sure]])
    made = row_recovery.encode(times, np.array(steps), rows[steps], layout)
    kept += row_recovery.read_all(made, layout)
  return [p.record for p in sorted(kept, key=_order)]


def _dated(point):
  return point.row is not None


def _times(steps, dated, others):
  """Wall times of rows, between those of `dated`, {step: wall time}."""
  if not dated:
    return np.full(len(steps), max(others, default=0.0))
  at = sorted(dated)
  return np.interp(steps, at, [dated[step] for step in at])


def _agree(point, rows, layout):
  own = rows[point.step, event_file.tagged(layout)]
  return point.row.tobytes() == own.tobytes()


def _order(point):
  return point.wall_time, point.step


def begun(records, wall):
  """Records behind the one that an event file begins with.

  Args:
    records: of events, in order.
    wall: the time where there are none.
  """
  if records:
    wall = event_pb2.Event.FromString(records[0]).wall_time
  version = event_pb2.Event(wall_time=wall, file_version="brain.Event:2")
  return [version.SerializeToString(), *records]
