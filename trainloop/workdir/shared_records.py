"""Records of a run with several workers: the chief writes, all know."""

import json

import numpy as np

from trainloop.base import strict_json
from trainloop.model.rows import COLUMNS, WIDTH
from trainloop.workdir import records
from trainloop.workdir.history import History


class SharedRecords:
  """One worker's view of the records: the chief's own, told to the others.

  What a checkpoint holds is read by the chief alone and comes to the others
  by collectives: the workdir need not be a shared disk, and all go on from
  the same step. All methods are called at the same points by every worker.

  Args:
    own: the `Records` or `NoRecords` of this worker; only the chief's write.
    workers: the run's `Workers`.
    groups: {group: {name: tf.Variable}} that a checkpoint holds.
    per_replica: a `PerReplica`, whose copies are among them.
  """

  def __init__(self, own, workers, groups, per_replica):
    self._own, self._workers = own, workers
    self._chief = workers.is_chief
    self._moved = [v for group in groups.values() for v in group.values()]
    self._per_replica = per_replica
    self._note = {"entry": None, "goes_on": False}

  @property
  def goes_on(self):
    """See `Records`."""
    return self._note["goes_on"]

  @property
  def workdir(self):
    """See `Records`."""
    return self._own.workdir

  @property
  def owes_save(self):
    """See `Records`."""
    return self._own.owes_save

  @property
  def position(self):
    """Nothing: only the chief could keep a dataset's; see `DatasetData`."""
    return b""

  @position.setter
  def position(self, kept):
    del kept

  @property
  def resumed_from(self):
    """See `Records`."""
    return self._own.resumed_from

  @property
  def seconds(self):
    """See `Records`."""
    return self._own.seconds

  def next_fit(self, asked):
    """See `Records`; the state that the chief restored is on all workers."""
    self._workers.same(asked)
    return self._restored(self._own.next_fit(asked))

  def rewind(self):
    """See `Records`; only with a workdir."""
    return self._restored(self._own.rewind() if self._chief else None)

  def restore_epoch(self, epoch, variables):
    """See `Records`; the chief reads, and all have it."""
    if self._chief:
      self._own.restore_epoch(epoch, variables)
    self._workers.copy_from_chief(self._moved)
    self._per_replica.scatter()

  def begin_again(self, step, history, note):
    """See `Records`."""
    self._per_replica.gather()
    if self._chief:
      self._own.begin_again(step, history, note)

  def _restored(self, entry):
    """The chief's entry and, if there is one, its state, on all workers."""
    note = {"entry": entry, "goes_on": self._own.goes_on}
    told = self._workers.from_chief(strict_json.dumps(note).encode())
    self._note = json.loads(told)
    if self._note["entry"] is not None:
      self._workers.copy_from_chief(self._moved)
      self._per_replica.scatter()
    return self._note["entry"]

  def start_fit(self, begun, asked):
    """See `Records`."""
    self._note["goes_on"] = False
    return self._own.start_fit(begun, asked)

  def history(self, entry, plan, step):
    """See `Records`."""
    rows = self._own.history(entry, plan, step).rows
    table = np.stack([rows[name] for name in COLUMNS], axis=1)
    data = self._workers.from_chief(table.tobytes())
    table = np.frombuffer(data, np.float32).reshape(-1, WIDTH)
    return History.from_config(entry["history"], plan.start, table)

  def begin(self, plan, step, curve, history, shown):
    """See `Records`."""
    self._per_replica.gather()
    self._own.begin(plan, step, curve, history, shown)

  def rows(self, began, first_step, rows):
    """See `Records`."""
    self._own.rows(began, first_step, rows)

  def scalars(self, run, step, values):
    """See `Records`."""
    self._own.scalars(run, step, values)

  def event(self, step, kind, text):
    """See `Records`."""
    self._own.event(step, kind, text)

  def histograms(self, step, tables):
    """See `Records`."""
    self._own.histograms(step, tables)

  def save(self, step, history):
    """See `Records`."""
    self._per_replica.gather()
    self._own.save(step, history)

  def leave(self, step, history):
    """See `Records`."""
    self._per_replica.gather()
    self._own.leave(step, history)

  def finish(self, step, history):
    """See `Records`."""
    self._per_replica.gather()
    self._own.finish(step, history)

  def close(self, failed=False):
    """See `Records`."""
    self._own.close(failed)


def open_records(parts, workdir, **options):
  """The records of this worker: its own if it is the only one.

  Args:
    parts: the loop's `Parts`, built.
    workdir: the run's folder, or None; always None for all but the chief.
    **options: see `records.open_records`.
  """
  own = records.open_records(workdir, parts.moved(), **options)
  if parts.workers.count == 1:
    return own
  return SharedRecords(own, parts.workers, parts.moved(), parts.per_replica)
