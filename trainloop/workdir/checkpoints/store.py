"""A run's folder: lock, restore, saves in the background.

Rows and events are flushed first, then the checkpoint that remembers them is
committed: after a kill anywhere, the newest checkpoint's rows are all there,
and what was written after it is cut off.
"""

import contextlib
import json
import os
import time
from concurrent import futures

import tensorflow as tf

from kernels import checks
from trainloop.base import output, strict_json
from trainloop.model import snapshot
from trainloop.workdir import (
  agreement,
  claims,
  row_journal,
  run_files,
  run_names,
)
from trainloop.workdir.checkpoints.files import (
  DISK_TROUBLE,
  CheckpointFiles,
  reason,
)
from trainloop.workdir.extents import (
  VanishedError,
  is_same,
  refuse_shorter,
  vanished,
)
from trainloop.workdir.history import NonFiniteError
from trainloop.workdir.mending import Mending, Written
from trainloop.workdir.tensorboard import event_file, event_reader
from trainloop.workdir.wall_clock import WallClock

# Of what a checkpoint holds. 5: tensors are named by path, not by position.
_VERSION = 5
_TEXTS = {"log": tf.string, "written": tf.string, "data": tf.string}
_RETRY_SECONDS = 10.0


class RunStore:
  """What a run keeps on disk so that it can go on after a kill.

  Args:
    workdir: the run's folder; made if missing.
    groups: {group: {name: tf.Variable}}, everything that training moves.
    keep: how many checkpoints stay, int >= 1.
    tell: called with a line when something went wrong that is not fatal.

  Attributes:
    log: {"fits": [...], "resumed_from": [steps], "replans": [texts],
      "seconds": float}, JSON types that are saved with the variables.
    step: global step of the newest checkpoint.
    data: bytes that say where the data was then.
    clock: the `WallClock` of the run's events.
    mended: whether records were made again that the checkpoint remembers
      otherwise.
  """

  def __init__(self, workdir, groups, keep=2, tell=output.line):
    self._workdir = workdir
    self._snapshot = snapshot.Snapshot(groups)
    folder = os.path.join(workdir, run_names.CHECKPOINTS)
    self._files = CheckpointFiles(folder, keep)
    self._journal = row_journal.RowJournal(workdir)
    self._tell = tell
    self.log = {"fits": [], "resumed_from": [], "replans": [], "seconds": 0.0}
    self._written, self.clock, self.mended = Written(), WallClock(), False
    self._lock = self._known = self._saving = None
    self.step, self.data = 0, b""
    self._serial, self._retry_at, self._forgotten = 0, None, False
    self._thread, self._saved = None, False

  def exists(self):
    """Whether the folder holds a run already."""
    return self._journal.exists() or bool(self._files.serials())

  @property
  def is_open(self):
    """Whether this process holds the folder's lock."""
    return self._lock is not None

  def open(self, check_fits, clear=False):
    """Locks the folder; the first time, restores the newest checkpoint.

    Args:
      check_fits: called with the checkpoint's list of fits before anything is
        restored; raises where the run is another one.
      clear: whether to remove the run that is there instead.

    Raises:
      ValueError: if another process uses the folder, or none of its
        checkpoints can be read, or they are those of another model.
    """
    os.makedirs(self._workdir, exist_ok=True)
    self._lock = claims.lock(self._workdir)
    self._thread = futures.ThreadPoolExecutor(1)
    if clear:
      run_files.remove_all(self._workdir)
    self._files.make()
    if self._known is None or self._forgotten:
      self._forgotten = False
      self._restore(check_fits)
      self._files.discard()
    elif self._known != self._files.serials():
      rule = "left alone by other processes between two fits"
      checks.fail("workdir", str(self._workdir), rule)
    self._known = self._files.serials()
    self._mend()

  def _mend(self):
    """Makes again what is not as the checkpoint remembers it."""
    mending = Mending(self._workdir, self._written, self.step, self.log["fits"])
    mending.run()
    self._written, self.mended = mending.written, bool(mending.lines)
    for line in mending.lines:
      self._tell(line)

  def begin(self):
    """Cuts off what was written after the newest checkpoint, and opens the
    journal. Nothing is written behind what can't be cut off.

    Raises:
      OSError: if that fails.
    """
    events = self._written.events
    event_file.cut(self._workdir, {p: e.size for p, e in events.items()})
    refuse_shorter(self._workdir, events)
    self._journal.open(self.step, self._written.crcs)

  def restore_epoch(self, epoch, variables):
    """Puts back variables as a checkpoint at the end of an epoch has them.

    Args:
      epoch: of the run, counted from 1.
      variables: tf.Variables out of the groups; others stay.

    Raises:
      ValueError: if no checkpoint of that epoch was kept, naming those.
    """
    names = self._snapshot.names_of(variables)
    dtypes = {name: self._snapshot.dtypes[name] for name in names}
    kept, found = [], None
    for serial in self._files.serials():
      with contextlib.suppress(Exception):  # damage has many kinds
        log = json.loads(self._files.read(serial, _TEXTS)["log"].numpy())
        ended = agreement.epoch_of(log["fits"], log["step"])
        if ended == epoch:
          found = self._files.read(serial, dtypes)
        kept += [ended] * (ended is not None)
    if found is None:
      rule = "the end of an epoch whose checkpoint was kept"
      checks.fail("epoch", epoch, f"{rule}: {sorted(set(kept)) or 'none'}")
    self._snapshot.put_back(found)

  def restore_again(self):
    """Goes back to the newest checkpoint that was committed."""
    with contextlib.suppress(NonFiniteError):
      self.wait()
    self._journal.close()
    self._restore(lambda fits: None)
    self._mend()

  def forget(self):
    """Makes the next `open` go back to the newest checkpoint."""
    self._forgotten = True

  def close(self):
    """Waits for a save that goes on, closes all and frees the folder."""
    try:
      self.wait()
    finally:
      if self._thread is not None:
        self._thread.shutdown()
        if self._saved:
          self._files.tidy()
        self._known = self._files.serials()
      self._journal.close()
      if self._lock is not None:
        os.close(self._lock)
      self._lock = self._thread = None

  def rows(self, first, last):
    """Rows of the steps first .. last-1 from the journal, float32 (n, 5)."""
    return self._journal.read(first, last)

  def add_rows(self, rows):
    """Appends rows to the journal; `save` makes them durable.

    Raises:
      Exception: what ended a save in the background, if not disk trouble.
    """
    self._journal.add(rows)
    if self._saving is not None and self._saving.done():
      self.wait()

  @property
  def owes(self):
    """Whether a save failed a while ago, and it is time to try again."""
    return self._retry_at is not None and time.monotonic() > self._retry_at

  def save(self, step, events, data=b""):
    """Commits all variables and the log, in the background.

    Returns once the variables are copied; waits for the save before.

    Args:
      step: global step of the variables.
      events: a Future of `EventWriter.extents` up to that step.
      data: where the data is, bytes.
    """
    self.wait()
    log = {"version": _VERSION, "shapes": self._snapshot.shapes, **self.log}
    texts = {"log": strict_json.dumps({**log, "step": step}), "data": data}
    tensors, blocks = self._snapshot.take(), self._journal.waiting
    wall = self.clock.latest
    self._saving = self._thread.submit(
      self._commit, step, texts, tensors, blocks, events, wall
    )

  def wait(self):
    """Returns once the last save is committed, or has failed.

    Returns:
      Whether the newest checkpoint is the one that was asked for last.
    """
    if self._saving is not None:
      saving, self._saving = self._saving, None
      saving.result()
    return self._retry_at is None

  def _commit(self, step, texts, tensors, blocks, events, wall):
    """Rows first, then the checkpoint; on the thread."""
    try:
      self._refuse_vanished()
      self._journal.flush(blocks)
      extents = {**self._written.events, **events.result()}
      self._refuse_vanished(extents)
      written = Written(extents, self._journal.crcs, wall)
      self._refuse_nonfinite(step, tensors)
      texts = {**texts, "written": written.to_json()}
      texts = {name: tf.constant(text) for name, text in texts.items()}
      self._files.write(self._serial + 1, {**texts, **tensors})
    except VanishedError:
      raise
    except DISK_TROUBLE as error:
      self._refuse_vanished()
      text = f"warning: step {step} could not be saved ({reason(error)})"
      self._tell(f"{text}; the checkpoint before stays, and it is tried again")
      self._retry_at = time.monotonic() + _RETRY_SECONDS
    else:
      self._written, self._retry_at, self._saved = written, None, True
      self._serial, self.step = self._serial + 1, step

  def _refuse_vanished(self, events=None):
    """Ends a run whose folder, or one of whose event files, is gone."""
    if not is_same(self._lock, os.path.join(self._workdir, run_names.LOCK)):
      vanished(f"the workdir {self._workdir}")
    refuse_shorter(self._workdir, events or {})

  def _refuse_nonfinite(self, step, tensors):
    name = self._snapshot.first_nonfinite(tensors)
    if name is not None:
      text = f"after {step} updates {name} is not finite"
      raise NonFiniteError(step, f"{text}: that was not saved")

  def _check_version(self, version):
    """Refuses a checkpoint that another version of this program wrote."""
    if version != _VERSION:
      rule = (
        f"{_VERSION}: {self._workdir} is of another version of this program, "
        'go on with that or take another workdir or existing="overwrite"'
      )
      checks.fail("checkpoint version", version, rule)

  def _restore(self, check_fits):
    """Restores the newest checkpoint that can be read, if there are any."""
    failures = []
    for serial in reversed(self._files.serials()):
      try:
        texts = self._files.read(serial, _TEXTS)
        log = json.loads(texts["log"].numpy())
        self._check_version(log["version"])
        written = Written.from_json(texts["written"].numpy())
        check_fits(log["fits"])
        self._snapshot.check(log["shapes"])
        tensors = self._files.read(serial, self._snapshot.dtypes)
      except checks.ArgumentError:
        raise
      except Exception as error:  # damage has many kinds
        failures.append(f"ckpt-{serial}: {reason(error)}")
        continue
      self._snapshot.put_back(tensors)
      self.log = {name: log[name] for name in self.log}
      self._written, self._serial = written, serial
      self.clock = WallClock(written.wall)
      self.step, self.data = log["step"], texts["data"].numpy()
      for failure in failures:
        self._tell(f"warning: checkpoint skipped as damaged: {failure}")
      return
    if failures or self._journal.exists(empty=False):
      tried = "; ".join(failures) or "there are none"
      rule = f"a folder whose checkpoints can be read ({tried})"
      checks.fail("workdir", str(self._workdir), rule)
    path = event_reader.of_lost_run(self._workdir, self._journal.exists())
    if path is not None:
      rule = f"a folder without events of a run that is gone ({path})"
      checks.fail("workdir", str(self._workdir), rule)
