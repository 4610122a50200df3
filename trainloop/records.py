"""What a run writes: events, row journal, checkpoints; or nothing at all."""

import json
import time

from kernels import checks
from trainloop import checkpoints
from trainloop.event_writer import EventWriter
from trainloop.history import History

# A last save is tried so often, a second apart.
_TRIES = 3


def open_records(workdir, groups, log_every, keep, tell):
  """`Records` of a workdir, or `NoRecords` without one."""
  if workdir is None:
    return NoRecords()
  return Records(workdir, groups, log_every, keep, tell)


class NoRecords:
  """Remembers nothing: every fit is new, and nothing is written."""

  resumed_from = ()
  seconds = 0.0
  goes_on = False
  owes_save = False

  def next_fit(self, asked):
    """The entry of the fit that comes, if the workdir knows it."""
    del asked

  def start_fit(self, begun, asked):
    """A new fit's entry: a dict of JSON types."""
    history = History()
    history.handled = begun["start"]
    return {
      "asked": _plain(asked),
      "begun": begun,
      "history": history.to_config(),
      "done": False,
    }

  def history(self, entry, plan, step):
    """The fit's history up to global step `step`."""
    del plan, step
    return History.from_config(entry["history"])

  def begin(self, plan, step, curve, history):
    """Before the first update; `curve()` is the planned (rates, momenta)."""
    self._clock = time.monotonic()

  def rows(self, began, first_step, rows):
    """A window's rows; see `EventWriter.rows`."""

  def scalars(self, run, step, values):
    """Metrics at a step; see `EventWriter.scalars`."""

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
    groups: {name: tf.Variables} that a checkpoint holds.
    log_every: see `EventWriter`.
    keep: how many checkpoints stay.
    tell: called with a line when something went wrong that is not fatal.
  """

  def __init__(self, workdir, groups, log_every, keep, tell):
    self._workdir, self._log_every, self._tell = workdir, log_every, tell
    self._store = checkpoints.RunStore(workdir, groups, keep, tell)
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
    if not self._store.is_open and not self._store.exists():
      return None
    asked = _plain(asked)
    self._store.open(lambda fits: self._compare(fits, asked))
    known = self._store.log["fits"][self._index :]
    self._compare(self._store.log["fits"], asked)
    return known[0] if known else None

  def _compare(self, fits, asked):
    """Refuses to go on with a fit that was another one."""
    if len(fits) <= self._index:
      return
    was = fits[self._index]["asked"]
    for name in {**was, **asked}:
      old, new = was.get(name), asked.get(name)
      if old != new:
        if isinstance(old, dict) and isinstance(new, dict):
          keys = [k for k in {**old, **new} if old.get(k) != new.get(k)]
          old, new = ({k: d.get(k) for k in keys} for d in (old, new))
        rule = f"{old!r}, as in the run that {self._workdir} holds"
        checks.fail(name, new, rule + " (another run needs another workdir)")

  def start_fit(self, begun, asked):
    if not self._store.is_open:
      self._store.open(lambda fits: None)
    entry = super().start_fit(begun, asked)
    self._store.log["fits"].append(entry)
    self._new = True
    return entry

  def history(self, entry, plan, step):
    step = min(step, plan.end)  # later rows are those of later fits
    rows = self._store.rows(plan.start, step)
    return History.from_config(entry["history"], plan.start, rows)

  def begin(self, plan, step, curve, history):
    self._store.begin(step)
    self._writer = EventWriter(self._workdir, self._log_every, self._tell)
    self._clock = time.monotonic()
    if self._new:
      self._writer.plan(plan.start, *curve())
      # So that a kill before the next one is no loss.
      self._save_for_good(step, history, tries=1)
    else:
      self.resumed_from.append(step)

  def rows(self, began, first_step, rows):
    self._store.add_rows(rows)
    self._writer.rows(began, first_step, rows)

  def scalars(self, run, step, values):
    self._writer.scalars(run, step, values)

  def save(self, step, history):
    now = time.monotonic()
    self._store.log["seconds"] += now - self._clock
    self._clock = now
    entry = self._store.log["fits"][self._index]
    entry["history"] = history.to_config()
    self._store.save(step, self._writer.sizes())

  def leave(self, step, history):
    self._save_for_good(step, history)

  def finish(self, step, history):
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
    raise OSError(f"{text} to {self._workdir}; the same command tries again")

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


def _plain(asked):
  """As JSON reads it back; what JSON has no type for becomes its repr."""
  return json.loads(json.dumps(asked, default=repr))
