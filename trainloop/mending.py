"""Records that are not as they were written: noticed, and made again.

Rows stand twice, in the row journal and in the events of run `train`. What is
damaged in one is taken from the other, and the CRCs that the checkpoint
remembers prove it.
"""

import json
import os
import typing

import numpy as np
import tensorflow as tf
from tensorboard.compat.proto import event_pb2

from kernels import checks
from trainloop import journal, row_events, run_files, run_names, tfrecords
from trainloop.checkpoint_files import DISK_TROUBLE, reason
from trainloop.extents import Extent, extend

_SKIPPED = row_events.COLUMNS.index("skipped")


class Written(typing.NamedTuple):
  """What a checkpoint remembers of the records beside it.

  Attributes:
    events: {path below the workdir: `Extent`} of the event files.
    crcs: those of the row journal's blocks.
    wall: the latest wall time of an event.
  """

  events: typing.Any = {}
  crcs: typing.Any = ()
  wall: float = 0.0

  def to_json(self):
    """All of it as a text."""
    return json.dumps(self._asdict())

  @classmethod
  def from_json(cls, text):
    """What `to_json` gave, back; of paths only those that a run can have."""
    events, crcs, wall = (json.loads(text)[name] for name in cls._fields)
    known = {p: Extent(*e) for p, e in events.items() if run_names.is_events(p)}
    return cls(known, crcs, wall)


class Mending:
  """Looks through a run's records, and makes again what is damaged.

  Args:
    workdir: the run's folder.
    written: what the checkpoint remembers, a `Written`.
    step: its global step.
    fits: its fits.

  Attributes:
    written: what holds from here on.
    lines: what was damaged and what became of it, a line each.
  """

  def __init__(self, workdir, written, step, fits):
    self._workdir, self._step, self._fits = workdir, step, fits
    self._rows = journal.RowJournal(workdir)
    self._part = os.path.join(workdir, run_names.MENDED_PART)
    self.written, self.lines = written, []

  def run(self):
    """Reads all that the checkpoint remembers, once.

    Raises:
      ValueError: if something can't be read or written; nothing is lost by it.
    """
    try:
      self._run()
    except DISK_TROUBLE as error:
      rule = f"a folder whose records can be read and mended ({reason(error)})"
      checks.fail("workdir", str(self._workdir), rule)

  def _run(self):
    run_files.remove(self._part)  # what a kill left
    blocks = self._rows.damaged(self._step, self.written.crcs)
    events = self.written.events
    hurt = [p for p, extent in events.items() if not self._is_whole(p, extent)]
    if not blocks and not hurt:
      return
    train = {
      path: self._records(path)
      for path in sorted(events)
      if os.path.dirname(path) == "train"
    }
    rows = self._table()
    if blocks:
      points = [row_events.read(r) for all in train.values() for r in all if r]
      points = [point for point in points if point is not None]
      sure = not any(path in train for path in hurt)
      rows = self._mended_rows(rows, blocks, points, sure)
    others = {p: self._records(p) for p in hurt if p not in train}
    made = _with_rows(train, self._logged(), rows, self.written.wall)
    for path in hurt:
      if path in train:
        self._replace_events(path, *made[path])
      else:
        self._replace_events(path, [r for r in others[path] if r], 0)

  def _logged(self):
    return row_events.logged_steps(self._fits, self._step)

  def _is_whole(self, path, extent):
    """Whether an event file begins with what it had."""
    try:
      file = os.open(os.path.join(self._workdir, path), os.O_RDONLY)
    except FileNotFoundError:
      return False
    try:
      return extend(file, Extent(0, 0), extent.size) == extent
    finally:
      os.close(file)

  def _records(self, path):
    """The records of an event file up to where it must go; see `salvage`."""
    size, content = self.written.events[path].size, b""
    full = os.path.join(self._workdir, path)
    if os.path.exists(full):
      with open(full, "rb") as file:
        content = file.read(size)
    torn = [None] * (len(content) < size)
    return tfrecords.salvage(content) + torn

  def _table(self):
    """The journal's rows, NaN where it ends too early."""
    rows = np.full((self._step, len(row_events.COLUMNS)), np.nan, np.float32)
    there = self._rows.read_there(0, self._step)
    rows[: len(there)] = there
    return rows

  def _mended_rows(self, own, blocks, points, sure):
    """The rows, those of damaged blocks from the events; writes them.

    Args:
      own: what the journal has.
      blocks: numbers of those whose CRC does not hold.
      points: those of the events.
      sure: whether no event of run `train` is missing.
    """
    told = row_events.table(points, self._step)
    has = ~np.isnan(told[:, _SKIPPED])
    best = np.where(has[:, None], told, own)
    # A skipped update's own event may be missing where its row's is there.
    other = best.copy()
    other[:, _SKIPPED] = own[:, _SKIPPED]
    if not sure:
      told[:, _SKIPPED] = np.where(told[:, _SKIPPED] == 1, 1, np.nan)
    rows, lost = own.copy(), 0
    for i in blocks:
      part = slice(i * journal.BLOCK, (i + 1) * journal.BLOCK)
      crc = self.written.crcs[i]
      proven = (t[part] for t in (best, other) if _crc(t[part]) == crc)
      rows[part] = next(proven, told[part])
      lost += int(np.isnan(rows[part, _SKIPPED]).sum())
    self._rows.replace(rows, self._part)
    self.written = self.written._replace(crcs=journal.crcs_of(rows))
    text = f"warning: {run_names.JOURNAL} was damaged"
    if lost:
      text = f"{text}: {lost} of its rows are NaN now, in part or in all, as "
      self.lines.append(f"{text}the event files do not hold them either")
    else:
      text = f"{text}; it was made again, to the byte"
      self.lines.append(text)
    return rows

  def _replace_events(self, path, records, made):
    """Writes an event file anew; `made` of its records come from rows."""
    full = os.path.join(self._workdir, path)
    run_files.make(self._part)
    with tf.io.TFRecordWriter(self._part) as writer:
      for record in _with_version(records, self.written.wall):
        writer.write(record)
    run_files.sync(self._part)
    run_files.folder(os.path.dirname(full))
    run_files.replace(self._part, full)
    file = os.open(full, os.O_RDONLY)
    try:
      extent = extend(file, Extent(0, 0))
    finally:
      os.close(file)
    events = {**self.written.events, path: extent}
    self.written = self.written._replace(events=events)
    text = f"warning: {path} was damaged; {len(records) - made} events of it "
    text = f"{text}stay, those of {made} updates were made again from the rows"
    self.lines.append(f"{text}, and other values that stood there are lost")


def _crc(rows):
  return journal.crcs_of(rows)[0]


def _with_version(records, wall):
  """Records behind the one that an event file begins with."""
  if records:
    first = event_pb2.Event.FromString(records[0])
    wall = first.wall_time
    if first.file_version:
      return records
  version = event_pb2.Event(wall_time=wall, file_version="brain.Event:2")
  return [version.SerializeToString(), *records]


def _with_rows(files, logged, rows, wall):
  """{path: (its records, how many of them were made)}: gaps hold the rows that
  are logged between their neighbours.

  Args:
    files: {path: records, None for each gap}, in the order of time.
    logged: steps whose rows are events, ascending.
    rows: float32 (steps, columns); what is not known is not made.
    wall: the latest time there can be.
  """
  points = {
    path: [r and row_events.read(r) for r in records]
    for path, records in files.items()
  }
  flat = [p for path in files for p in points[path]]
  ahead = _next_points(flat, len(rows), wall)
  found, before, at = {}, row_events.Point(-1, None), 0
  for path, records in files.items():
    kept, made = [], 0
    for record, point in zip(records, points[path], strict=True):
      after, at = ahead[at], at + 1
      if record is not None:
        kept.append(record)
        before = _newer(before, point)
        continue
      steps = row_events.between(logged, before.step, after.step)
      steps = [s for s in steps if not np.isnan(rows[s, 0])]
      if steps:
        begin = (
          after.wall_time if before.wall_time is None else before.wall_time
        )
        times = np.linspace(begin, after.wall_time, len(steps))
        kept += row_events.encode(times, np.array(steps), rows[steps])
        before, made = (
          row_events.Point(steps[-1], float(times[-1])),
          made + len(steps),
        )
    found[path] = kept, made
  return found


def _newer(before, point):
  """The last row's step and the last time, once a record was passed."""
  if point is None:
    return before
  step = before.step if point.row is None else point.step
  return row_events.Point(step, point.wall_time)


def _next_points(points, step, wall):
  """For each place: the step of the next row, and the next time."""
  found, after = [], row_events.Point(step, wall)
  for point in reversed(points):
    found.append(after)
    after = _newer(after, point)
  return found[::-1]
