"""Rows of updates in event files: read back, and made again."""

import bisect
import typing

import numpy as np
from google.protobuf.message import DecodeError
from tensorboard.compat.proto import event_pb2

from trainloop.model import rows as row_lib
from trainloop.workdir.tensorboard import event_file, logged, row_encoding
from trainloop.workdir.tensorboard.event_file import MOMENTUM


class Point(typing.NamedTuple):
  """An event of a run.

  Attributes:
    record: its bytes.
    row: float32 values of `event_file.tags`; None if it is no row's.
    skipped: whether it counts a skipped update.
    version: whether it is the one that a file begins with.
    plain: whether it is neither that nor holds a tag of a row's.
  """

  record: bytes
  step: int
  wall_time: float
  row: typing.Any
  skipped: bool
  version: bool
  plain: bool


def read_all(records, layout):
  """The `Point` of each event, bytes; what is none goes by."""
  tags = event_file.tags(layout)
  points = (_read(record, tags) for record in records)
  return [point for point in points if point is not None]


def _read(record, tags):
  try:
    event = event_pb2.Event.FromString(record)
  except DecodeError:
    return None
  values = {
    value.tag: value.simple_value
    for value in event.summary.value
    if value.HasField("simple_value")
  }
  row, version = None, bool(event.file_version)
  if values.keys() >= set(tags) - {MOMENTUM}:
    nan = float("nan")
    row = np.array([values.get(tag, nan) for tag in tags], np.float32)
  return Point(
    record=record,
    step=event.step,
    wall_time=event.wall_time,
    row=row,
    skipped="skipped" in values,
    version=version,
    plain=not version and not values.keys() & set(tags),
  )


def table(points, steps, layout):
  """The rows that events hold, float32 (steps, columns); NaN where no event
  has the value."""
  rows = np.full((steps, layout.width), np.nan, np.float32)
  tagged = event_file.tagged(layout)
  for point in points:
    if point.row is not None and 0 <= point.step < steps:
      rows[point.step, tagged] = point.row
      rows[point.step, row_lib.SKIPPED] = 0.0
  for point in points:
    if point.skipped and 0 <= point.step < steps:
      rows[point.step, row_lib.SKIPPED] = 1.0
  return rows


def encode(times, steps, rows, layout):
  """The events of some rows, one after another.

  Args:
    times: float64 (n,), wall times.
    steps: int64 (n,), rising.
    rows: float32 (n, columns).
    layout: their `Layout`.
  """
  tags, tagged = event_file.tags(layout), event_file.tagged(layout)
  tags, table = row_encoding.without(MOMENTUM, tags, rows[:, tagged])
  return row_encoding.encode(times, steps, tags, table)


def logged_steps(fits, step):
  """The global steps below `step` whose rows are written as events, ascending.

  Args:
    fits: the run's fits, a `FitEntry` each.
    step: updates that are done.
  """
  steps = []
  ends = [entry.origin.start for entry in fits[1:]]
  for entry, end in zip(fits, [*ends, step], strict=False):
    plan, every = entry.plan(), entry.terms.log_every
    part, end = logged.of(every, plan), min(end, plan.end, step)
    own = set(range(-(-plan.start // part.rows) * part.rows, end, part.rows))
    epochs = plan.ends_inside(plan.start, end - plan.start + 1)
    done = (plan.start + n for n in epochs)
    own.update(n - 1 for n in done if part.epoch(plan, n))
    steps.extend(sorted(own))
  return steps


def between(steps, first, last):
  """The part of ascending steps that lies in (first, last)."""
  i = bisect.bisect_right(steps, first)
  return steps[i : bisect.bisect_left(steps, last)]
