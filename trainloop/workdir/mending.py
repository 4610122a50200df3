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

from kernels import checks
from trainloop.base import strict_json
from trainloop.model import rows as row_lib
from trainloop.workdir import row_journal, run_files, run_names
from trainloop.workdir.checkpoints.files import DISK_TROUBLE, reason
from trainloop.workdir.extents import Extent, extend
from trainloop.workdir.tensorboard import event_mending, row_recovery, tfrecords


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
    return strict_json.dumps(self._asdict())

  @classmethod
  def from_json(cls, text):
    """What `to_json` gave, back; of paths only those that a run can have."""
    events, crcs, wall = (json.loads(text)[name] for name in cls._fields)
    own = {p: Extent(*e) for p, e in events.items() if run_names.is_events(p)}
    return cls(own, crcs, wall)


class Mending:
  """Looks through a run's records, and makes again what is damaged.

  Args:
    workdir: the run's folder.
    written: what the checkpoint remembers, a `Written`.
    step: its global step.
    fits: its fits.
    layout: the `Layout` of its rows.

  Attributes:
    written: what holds from here on.
    lines: what was damaged and what became of it, a line each.
  """

  def __init__(self, workdir, written, step, fits, layout):
    self._workdir, self._step, self._fits = workdir, step, fits
    self._layout = layout
    self._rows = row_journal.RowJournal(workdir, layout)
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
    records_of = {path: self._records(path) for path in sorted(events)}
    train = [path for path in records_of if os.path.dirname(path) == "train"]
    rows = self._table()
    if blocks:
      points = [
        point
        for path in train
        for point in row_recovery.read_all(records_of[path], self._layout)
      ]
      sure = not any(path in train for path in hurt)
      rows = self._mended_rows(rows, blocks, points, sure)
    whole = {
      r for path in records_of if path not in hurt for r in records_of[path]
    }
    logged = row_recovery.logged_steps(self._fits, self._step)
    made = event_mending.train(
      {path: records_of[path] for path in train},
      hurt,
      whole,
      rows,
      logged,
      self._layout,
    )
    for path in hurt:
      records = made.get(path)
      if records is None:
        records = event_mending.other(records_of[path], whole, self._layout)
      self._replace_events(path, records)

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
    """The whole records of an event file, up to where it went."""
    size, content = self.written.events[path].size, b""
    full = os.path.join(self._workdir, path)
    if os.path.exists(full):
      with open(full, "rb") as file:
        content = file.read(size)
    return [r for r in tfrecords.salvage(content) if r is not None]

  def _table(self):
    """The journal's rows, NaN where it ends too early."""
    rows = np.full((self._step, self._layout.width), np.nan, np.float32)
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
    logged = row_recovery.table(points, self._step, self._layout)
    has = ~np.isnan(logged[:, row_lib.SKIPPED])
    best = np.where(has[:, None], logged, own)
    # A skipped update's own event may be missing where its row's is there.
    other = best.copy()
    other[:, row_lib.SKIPPED] = own[:, row_lib.SKIPPED]
    if not sure:
      logged[:, row_lib.SKIPPED] = np.where(
        logged[:, row_lib.SKIPPED] == 1, 1, np.nan
      )
    rows, lost = own.copy(), 0
    for i in blocks:
      part = slice(i * row_journal.BLOCK, (i + 1) * row_journal.BLOCK)
      crc = self.written.crcs[i]
      proven = (t[part] for t in (best, other) if _crc(t[part]) == crc)
      rows[part] = next(proven, logged[part])
      lost += int(np.isnan(rows[part, row_lib.SKIPPED]).sum())
    self._rows.replace(rows, self._part)
    self.written = self.written._replace(crcs=row_journal.crcs_of(rows))
    text = f"warning: {run_names.JOURNAL} was damaged"
    if lost:
      text = f"{text}: {lost} of its rows are NaN now, in part or in all, as "
      self.lines.append(f"{text}the event files do not hold them either")
    else:
      text = f"{text}; it was made again, to the byte"
      self.lines.append(text)
    return rows

  def _replace_events(self, path, records):
    """Writes an event file anew."""
    full = os.path.join(self._workdir, path)
    run_files.make(self._part)
    with tf.io.TFRecordWriter(self._part) as writer:
      for record in event_mending.begun(records, self.written.wall):
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
    rows = os.path.dirname(path) == "train"
    made = "its rows were made again, other " if rows else ""
    text = f"warning: {path} was damaged: {made}values that stood in the"
    self.lines.append(f"{text} damaged place are lost")


def _crc(rows):
  return row_journal.crcs_of(rows)[0]
