"""Records of a run with several workers: the chief writes, all know."""

import json

import numpy as np

from trainloop.base import strict_json
from trainloop.workdir import records
from trainloop.workdir.fit_entry import FitEntry
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
    self._goes_on = False

  def __getattr__(self, name):
    """All that needs no other worker is the own records' alone."""
    return getattr(self._own, name)

  @property
  def goes_on(self):
    """Whether the present fit was begun by earlier processes."""
    return self._goes_on

  position = b""  # only the chief could keep a dataset's; see `DatasetData`

  def keep_position(self, position):
    """Keeps nothing; see `position`."""

  def resume(self, terms):
    """See `Records`; the state that the chief restored is on all workers."""
    self._workers.same(terms.identity)
    return self._restored(self._own.resume(terms))

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
    config = None if entry is None else entry.to_json()
    news = strict_json.dumps([config, self._own.goes_on])
    chief = self._workers.from_chief(news.encode())
    config, self._goes_on = json.loads(chief)
    if config is None:
      return None
    self._workers.copy_from_chief(self._moved)
    self._per_replica.scatter()
    return entry if self._chief else FitEntry.from_json(config)

  def start_fit(self, origin, terms):
    """See `Records`."""
    self._goes_on = False
    return self._own.start_fit(origin, terms)

  def history(self, entry, plan, step):
    """See `Records`."""
    rows = self._own.history(entry, plan, step).rows
    layout = self._own.layout
    table = np.stack([rows[name] for name in layout.names], axis=1)
    data = self._workers.from_chief(table.tobytes())
    table = np.frombuffer(data, np.float32).reshape(-1, layout.width)
    config, done = entry.history, entry.finished
    return History.from_config(config, layout, plan.start, table, done)

  def begin(self, plan, step, curve, history, panel):
    """See `Records`."""
    self._per_replica.gather()
    self._own.begin(plan, step, curve, history, panel)

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


def open_records(trainee, workdir, **options):
  """The records of this worker: its own if it is the only one.

  Args:
    trainee: the loop's `Trainee`, built.
    workdir: the run's folder, or None; always None for all but the chief.
    **options: see `records.open_records`.
  """
  own = records.open_records(
    workdir, trainee.moved(), trainee.binding.layout, **options
  )
  if trainee.workers.count == 1:
    return own
  return SharedRecords(
    own, trainee.workers, trainee.moved(), trainee.per_replica
  )
