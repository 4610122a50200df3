"""What a run writes: events, row journal, checkpoints; or nothing at all."""

import contextlib
import time

from kernels import checks
from trainloop.model.snapshot import Snapshot
from trainloop.workdir.checkpoints.saver import Saver
from trainloop.workdir.checkpoints.store import Store
from trainloop.workdir.history import History, NonFiniteError
from trainloop.workdir.no_records import NoRecords
from trainloop.workdir.tensorboard import logged
from trainloop.workdir.tensorboard.event_writer import EventWriter
from trainloop.workdir.tensorboard.pages import Notes

# A last save is tried so often, a second apart.
_TRIES = 3


def open_records(workdir, groups, layout, **options):
  """`Records` of a workdir, or `NoRecords` without one."""
  if workdir is None:
    return NoRecords(layout)
  return Records(workdir, groups, layout, **options)


class Records(NoRecords):
  """A run's records in its workdir.

  Rows are flushed first, then the checkpoint that remembers them is
  committed; what was written after the newest checkpoint is cut off when the
  run goes on.

  Args:
    workdir: the run's folder.
    groups: {group: {name: tf.Variable}} that a checkpoint holds.
    layout: the `Layout` of the run's rows.
    log_every: see `logged.of`.
    keep: how many checkpoints stay.
    existing: what to do with a run that is there; see `TrainLoop`.
    tell: called with a line when something went wrong that is not fatal.
  """

  def __init__(self, workdir, groups, layout, log_every, keep, existing, tell):
    super().__init__(layout)
    self.workdir, self._log_every, self._tell = workdir, log_every, tell
    self._existing, self._note = existing, ""
    snapshot = Snapshot(groups)
    self._store = Store(workdir, snapshot, layout, keep, tell)
    self._saver = Saver(self._store, snapshot, tell)
    self._index, self._writer, self._new = -1, None, True
    self._mended = False

  @property
  def goes_on(self):
    """Whether the present fit was begun by an earlier process."""
    return not self._new

  @property
  def owes_save(self):
    """Whether a save failed a while ago, and it is time to try again."""
    return self._saver.owes

  @property
  def resumed_from(self):
    """Global steps at which the run went on after an end."""
    return self._store.log.resumed_from

  @property
  def seconds(self):
    """Time spent training, over all processes of the run."""
    return self._store.log.seconds

  def resume(self, terms):
    """As that of `NoRecords`: the n-th fit of a process is the n-th fit of
    its workdir.

    Raises:
      ValueError: if that was called with other terms, naming old and new.
    """
    self._index, self._new = self._index + 1, False
    there = self._store.exists()
    if there and self._existing == "refuse":
      rule = "a folder without a run, because `existing` is 'refuse'"
      checks.fail("workdir", str(self.workdir), rule)
    if not there or self._existing == "overwrite":
      return None
    if self._index < len(self._store.log.fits):
      # The checkpoint has what the script changed before this fit: read again.
      self._store.forget()
    self._store.open()
    self._mended = self._store.restore_newest(
      lambda log: self._find(log, terms)
    )
    entry = self._find(self._store.log, terms)
    if entry is not None:
      entry.update_display(terms)
      if self._existing == "replan":
        self._note = entry.replan(terms, self._store.newest.step)
    return entry

  def _find(self, log, terms):
    """The present fit's entry in a log; refuses one of other terms."""
    replans = self._existing == "replan"
    return log.find(self._index, terms, self.workdir, replans)

  @property
  def _entry(self):
    """The present fit's entry."""
    return self._store.log.fits[self._index]

  def start_fit(self, origin, terms):
    if not self._store.is_open:
      self._store.open(clear=self._existing == "overwrite")
      self._mended = self._store.restore_newest()
    self._existing = "continue"  # the next fit goes on with this run
    entry = super().start_fit(origin, terms)
    self._store.log.fits.append(entry)
    self._new = True
    return entry

  def history(self, entry, plan, step):
    # Later rows are those of later fits.
    later = self._store.log.fits[self._index + 1 :]
    step = min(step, plan.end, *(one.origin.start for one in later[:1]))
    rows = self._store.journal.read(plan.start, step)
    config, done = entry.history, entry.finished
    return History.from_config(config, self.layout, plan.start, rows, done)

  def restore_epoch(self, epoch, variables):
    if self._index + 1 < len(self._store.log.fits):
      return  # the run went on from there in an earlier process
    try:
      self._store.open()
      self._store.restore_newest()
      self._store.restore_epoch(epoch, variables)
    finally:
      self._store.close()

  def begin(self, plan, step, curve, history, panel):
    self._plan = plan
    self._store.begin()
    self.position = b"" if self._new else self._store.newest.position
    self._panel = panel
    self._open_writer()
    self._clock = time.monotonic()
    if self._new:
      self._show_plan(curve(plan.start), plan)
      self._notes.start(step, f"fit_{self._index + 1}")
      # So that a kill before the next one is no loss.
      self._save_for_good(step, history, tries=1)
      return
    self.resumed_from.append(step)
    self.event(step, "resume", f"goes on at step {step} of {plan.end}")
    if self._note:
      self._tell(self._note)
      self.event(step, "replan", self._note)
      self._notes.start(step, f"fit_{self._index + 1}_from_{step}")
      self._show_plan(curve(step), plan, f"plan_from_{step}")
      self._store.log.replans.append(self._note)
    if self._note or self._mended:
      self._note = ""
      self._save_for_good(step, history, tries=1)

  def _open_writer(self):
    self._logged = logged.of(self._log_every, self._plan)
    rows, clock = self._logged.rows, self._store.clock
    self._writer = EventWriter(
      self.workdir, rows, self._tell, clock, self.layout
    )
    self._notes = Notes(self._writer, self._panel, self._entry)

  def _show_plan(self, curve, plan, run="plan"):
    if not len(curve.steps):
      return  # replanned to where it is already
    self._writer.plan(curve, run)
    if curve.left_out:
      self._tell(curve.note(plan.end - int(curve.steps[0])))

  def rewind(self):
    """Puts back the newest checkpoint; returns the fit's entry in it."""
    self._writer.close()
    self._writer = None
    with contextlib.suppress(NonFiniteError):
      self._saver.wait()
    self._store.forget()
    self._store.restore_newest()
    self.position = self._store.newest.position
    return self._entry

  def begin_again(self, step, history, note):
    """Goes on after `rewind`, with a note in TensorBoard and on the disk."""
    self._store.begin()
    self._open_writer()
    self.event(step, "rewind", note)
    self._save_for_good(step, history)

  def rows(self, began, first_step, rows):
    self._store.journal.add(rows)
    self._saver.check()
    ends = self._plan.ends_inside(first_step, len(rows) + 1)
    due = [n for n in ends if self._logged.epoch(self._plan, first_step + n)]
    self._writer.rows(began, first_step, rows, due)
    self._notes.rows(first_step, rows)

  def scalars(self, run, step, values):
    self._writer.scalars(run, step, values)

  def event(self, step, kind, text):
    self._notes.event(step, kind, text)

  def histograms(self, step, tables):
    self._notes.histograms(step, tables)

  def save(self, step, history):
    now = time.monotonic()
    self._store.log.spend(now - self._clock)
    self._clock = now
    self._entry.save_history(history)
    self._saver.save(step, self._writer.extents(), self.position)

  def leave(self, step, history):
    reason = history.stop_reason or "not finite"
    self.event(step, "stop", f"{reason} after {step} steps; it can go on")
    self._save_for_good(step, history)
    # Behind what the checkpoint remembers: cut off again if it goes on.
    status = "unknown" if history.stop_reason else "failure"
    self._notes.end_session(step, status)

  def finish(self, step, history):
    self._notes.finish(step, history)
    self._entry.finish()
    self._save_for_good(step, history)

  def _save_for_good(self, step, history, tries=_TRIES):
    """A save that must be on the disk before it goes on."""
    for i in range(tries):
      self.save(step, history)
      if self._saver.wait():
        return
      time.sleep(i + 1 < tries)
    text = f"the checkpoint of step {step} cannot be written"
    raise OSError(f"{text} to {self.workdir}; the same command tries again")

  def close(self, failed=False):
    try:
      if self._writer is not None:
        self._writer.close()
    finally:
      self._writer = None
      if failed:  # the same fit comes again, from the newest checkpoint
        self._index -= 1
        self._store.forget()
      try:
        self._saver.close()
      finally:
        self._store.close()
