"""What a run writes: events, row journal, checkpoints; or nothing at all."""

import time

from kernels import checks
from trainloop.workdir import agreement
from trainloop.workdir.checkpoints import store
from trainloop.workdir.history import History
from trainloop.workdir.tensorboard import logged
from trainloop.workdir.tensorboard.event_writer import EventWriter
from trainloop.workdir.tensorboard.pages import Notes

# A last save is tried so often, a second apart.
_TRIES = 3


def open_records(workdir, groups, **options):
  """`Records` of a workdir, or `NoRecords` without one."""
  return NoRecords() if workdir is None else Records(workdir, groups, **options)


class NoRecords:
  """Remembers nothing: every fit is new, and nothing is written."""

  resumed_from = ()
  seconds = 0.0
  goes_on = False
  workdir = None
  owes_save = False
  position = b""  # where the data is, for the next checkpoint

  def next_fit(self, asked):
    """The entry of the fit that comes, if the workdir knows it."""
    del asked

  def start_fit(self, begun, asked):
    """A new fit's entry: a dict of JSON types."""
    history = History()
    history.handled = begun["start"]
    return {
      "asked": agreement.plain(asked),
      "begun": begun,
      "history": history.to_config(),
      "done": False,
    }

  def history(self, entry, plan, step):
    """The fit's history up to global step `step`."""
    del plan, step
    return History.from_config(entry["history"])

  def restore_epoch(self, epoch, variables):
    """Puts back variables from the checkpoint at an epoch's end."""
    del variables
    checks.fail("epoch", epoch, "of a loop with a workdir, which keeps them")

  def begin(self, plan, step, curve, history, shown):
    """Before the first update.

    Args:
      plan: the `FitPlan`.
      step: global step at which it begins or goes on.
      curve: gives the planned `Outline` over global steps, from a step on.
      history: the fit's `History`.
      shown: the fit's `Panel`.
    """
    self._clock = time.monotonic()

  def rows(self, began, first_step, rows):
    """A window's rows; see `EventWriter.rows`."""

  def scalars(self, run, step, values):
    """Metrics at a step; see `EventWriter.scalars`."""

  def event(self, step, kind, text):
    """Something that happened at a step, in words."""

  def histograms(self, step, tables):
    """Histograms at a step; see `Notes`."""

  def save(self, step, history):
    """Commits a checkpoint, in the background."""

  def leave(self, step, history):
    """Commits a checkpoint before the fit is left; it can go on later."""
    self.seconds += time.monotonic() - self._clock

  def finish(self, step, history):
    """Commits the end of the fit."""
    self.seconds += time.monotonic() - self._clock

  def close(self, failed=False):
    """After a fit; `failed` if it ended otherwise than by finish or leave."""


class Records(NoRecords):
  """A run's records in its workdir.

  Rows are flushed first, then the checkpoint that remembers them is
  committed; what was written after the newest checkpoint is cut off when the
  run goes on.

  Args:
    workdir: the run's folder.
    groups: {group: {name: tf.Variable}} that a checkpoint holds.
    log_every: see `logged.of`.
    keep: how many checkpoints stay.
    existing: what to do with a run that is there; see `TrainLoop`.
    tell: called with a line when something went wrong that is not fatal.
  """

  def __init__(self, workdir, groups, log_every, keep, existing, tell):
    self.workdir, self._log_every, self._tell = workdir, log_every, tell
    self._existing, self._note = existing, ""
    self._store = store.RunStore(workdir, groups, keep, tell)
    self._index, self._writer, self._new = -1, None, True

  @property
  def goes_on(self):
    """Whether the present fit was begun by an earlier process."""
    return not self._new

  @property
  def owes_save(self):
    """Whether a save failed a while ago, and it is time to try again."""
    return self._store.owes

  @property
  def resumed_from(self):
    """Global steps at which the run went on after an end."""
    return self._store.log["resumed_from"]

  @property
  def seconds(self):
    """Time spent training, over all processes of the run."""
    return self._store.log["seconds"]

  def next_fit(self, asked):
    """The n-th fit of a process is the n-th fit of its workdir.

    Args:
      asked: what must be the same as it was; see `TrainLoop`.

    Returns:
      The fit's entry, or None if it is new.

    Raises:
      ValueError: if it differs, naming old and new.
    """
    self._index, self._new = self._index + 1, False
    there = self._store.exists()
    if there and self._existing == "refuse":
      rule = "a folder without a run, because `existing` is 'refuse'"
      checks.fail("workdir", str(self.workdir), rule)
    if not there or self._existing == "overwrite":
      return None
    asked = agreement.plain(asked)
    if self._index < len(self._store.log["fits"]):
      self._store.forget()  # what a script changed before it, then as now
    self._store.open(lambda fits: self._compare(fits, asked))
    fits = self._store.log["fits"]
    self._compare(fits, asked)
    if self._index >= len(fits):
      return None
    entry = fits[self._index]
    agreement.show(entry, asked)
    if self._existing == "replan":
      step = self._store.step
      self._note = agreement.replan(entry, asked, step)
    return entry

  def _compare(self, fits, asked):
    """Refuses to go on with a fit that was another one."""
    if self._index < len(fits):
      last = self._index == len(fits) - 1
      replan = last and self._existing == "replan"
      was = fits[self._index]["asked"]
      agreement.check(self.workdir, was, asked, replan)

  def start_fit(self, begun, asked):
    if not self._store.is_open:
      clear = self._existing == "overwrite"
      self._store.open(lambda fits: None, clear)
    self._existing = "continue"  # the next fit goes on with this run
    entry = super().start_fit(begun, asked)
    self._store.log["fits"].append(entry)
    self._new = True
    return entry

  def history(self, entry, plan, step):
    step = min(step, plan.end)  # later rows are those of later fits
    rows = self._store.rows(plan.start, step)
    history = History.from_config(entry["history"], plan.start, rows)
    if not entry["done"]:
      history.stop_reason = None
    return history

  def restore_epoch(self, epoch, variables):
    if self._index + 1 < len(self._store.log["fits"]):
      return  # the run went on from there in an earlier process
    self._store.open(lambda fits: None)
    try:
      self._store.restore_epoch(epoch, variables)
    finally:
      self._store.close()

  def begin(self, plan, step, curve, history, shown):
    self._plan = plan
    self._store.begin()
    self.position = b"" if self._new else self._store.data
    self._shown = shown
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
      self._store.log["replans"].append(self._note)
    if self._note or self._store.mended:
      self._note = ""
      self._save_for_good(step, history, tries=1)

  def _open_writer(self):
    self._logged = logged.of(self._log_every, self._plan)
    rows, clock = self._logged.rows, self._store.clock
    self._writer = EventWriter(self.workdir, rows, self._tell, clock)
    entry = self._store.log["fits"][self._index]
    self._notes = Notes(self._writer, self._shown, entry)

  def _show_plan(self, drawn, plan, run="plan"):
    self._writer.plan(drawn, run)
    if drawn.left_out:
      self._tell(drawn.note(plan.end - int(drawn.steps[0])))

  def rewind(self):
    """Puts back the newest checkpoint; returns the fit's entry in it."""
    self._writer.close()
    self._writer = None
    self._store.restore_again()
    self.position = self._store.data
    return self._store.log["fits"][self._index]

  def begin_again(self, step, history, note):
    """Goes on after `rewind`, with a note in TensorBoard and on the disk."""
    self._store.begin()
    self._open_writer()
    self.event(step, "rewind", note)
    self._save_for_good(step, history)

  def rows(self, began, first_step, rows):
    self._store.add_rows(rows)
    ends = self._plan.ends_inside(first_step, len(rows) + 1)
    shown = [n for n in ends if self._logged.epoch(self._plan, first_step + n)]
    self._writer.rows(began, first_step, rows, shown)
    self._notes.rows(first_step, rows)

  def scalars(self, run, step, values):
    self._writer.scalars(run, step, values)

  def event(self, step, kind, text):
    self._notes.event(step, kind, text)

  def histograms(self, step, tables):
    self._notes.histograms(step, tables)

  def save(self, step, history):
    now = time.monotonic()
    self._store.log["seconds"] += now - self._clock
    self._clock = now
    entry = self._store.log["fits"][self._index]
    entry["history"] = history.to_config()
    self._store.save(step, self._writer.extents(), self.position)

  def leave(self, step, history):
    reason = history.stop_reason or "not finite"
    self.event(step, "stop", f"{reason} after {step} steps; it can go on")
    self._save_for_good(step, history)
    # Behind what the checkpoint remembers: cut off again if it goes on.
    status = "unknown" if history.stop_reason else "failure"
    self._notes.end_session(step, status)

  def finish(self, step, history):
    self._notes.finish(step, history)
    self._store.log["fits"][self._index]["done"] = True
    self._save_for_good(step, history)

  def _save_for_good(self, step, history, tries=_TRIES):
    """A save that must be on the disk before it goes on."""
    for i in range(tries):
      self.save(step, history)
      if self._store.wait():
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
      self._store.close()
