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
from trainloop import (
  agreement,
  claims,
  journal,
  run_files,
  run_names,
  snapshot,
  tensorboard,
)
from trainloop.checkpoint_files import DISK_TROUBLE, CheckpointFiles, reason
from trainloop.history import NonFiniteError

_VERSION = 3
_TEXTS = {"log": tf.string, "written": tf.string, "data": tf.string}
_RETRY_SECONDS = 10.0


class RunStore:
  """What a run keeps on disk so that it can go on after a kill.

  Args:
    workdir: the run's folder; made if missing.
    groups: {name: list of tf.Variable}, everything that training moves.
    keep: how many checkpoints stay, int >= 1.
    tell: called with a line when something went wrong that is not fatal.

  Attributes:
    log: {"fits": [...], "resumed_from": [steps], "replans": [texts],
      "seconds": float}, JSON types that are saved with the variables.
    step: global step of the newest checkpoint.
    data: bytes that say where the data was then.
  """

  def __init__(self, workdir, groups, keep=2, tell=print):
    self._workdir = workdir
    self._snapshot = snapshot.Snapshot(groups)
    folder = os.path.join(workdir, run_names.CHECKPOINTS)
    self._files = CheckpointFiles(folder, keep)
    self._journal = journal.RowJournal(workdir)
    self._tell = tell
    self.log = {"fits": [], "resumed_from": [], "replans": [], "seconds": 0.0}
    self._written = {"events": {}, "journal_crc": 0}
    self._lock = self._known = self._saving = None
    self.step, self.data = 0, b""
    self._serial, self._retry_at, self._forgotten = 0, None, False
    self._thread = None

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

  def begin(self, step):
    """Cuts off what was written after a step, and opens the journal.

    Args:
      step: global step at which the fit begins or goes on.
    """
    short = tensorboard.cut(self._workdir, self._written["events"])
    whole = self._journal.open(step)
    if not whole or self._journal.crc != self._written["journal_crc"]:
      short.append("the row journal")
    for name in short:
      self._tell(f"warning: {name} is not as it was written")

  def restore_epoch(self, epoch, variables):
    """Puts back variables as a checkpoint at the end of an epoch has them.

    Args:
      epoch: of the run, counted from 1.
      variables: tf.Variables out of the groups; others stay.

    Raises:
      ValueError: if no checkpoint of that epoch was kept, naming those.
    """
    kept = {}
    for serial in self._files.serials():
      log = json.loads(self._files.read(serial, _TEXTS)["log"].numpy())
      ended = agreement.epoch_of(log["fits"], log["step"])
      if ended is not None:
        kept[ended] = serial
    if epoch not in kept:
      rule = "the end of an epoch whose checkpoint was kept"
      checks.fail("epoch", epoch, f"{rule}: {sorted(kept) or 'none'}")
    names = self._snapshot.names_of(variables)
    dtypes = {name: self._snapshot.dtypes[name] for name in names}
    self._snapshot.put_back(self._files.read(kept[epoch], dtypes))

  def restore_again(self):
    """Goes back to the newest checkpoint that was committed."""
    with contextlib.suppress(NonFiniteError):
      self.wait()
    self._journal.close()
    self._restore(lambda fits: None)

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
      events: a Future of `tensorboard.sizes` up to that step.
      data: where the data is, bytes.
    """
    self.wait()
    log = {"version": _VERSION, "shapes": self._snapshot.shapes, **self.log}
    texts = {"log": json.dumps({**log, "step": step}), "data": data}
    tensors, blocks = self._snapshot.take(), self._journal.waiting
    self._saving = self._thread.submit(
      self._commit, step, texts, tensors, blocks, events
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

  def _commit(self, step, texts, tensors, blocks, events):
    """Rows first, then the checkpoint; on the thread."""
    try:
      self._journal.flush(blocks)
      self._refuse_vanished()
      crc = self._journal.crc
      written = {"events": events.result(), "journal_crc": crc}
      self._refuse_nonfinite(step, tensors)
      texts = {**texts, "written": json.dumps(written)}
      texts = {name: tf.constant(text) for name, text in texts.items()}
      self._files.write(self._serial + 1, {**texts, **tensors})
    except DISK_TROUBLE as error:
      self._refuse_vanished()
      text = f"warning: step {step} could not be saved ({reason(error)})"
      self._tell(f"{text}; the checkpoint before stays, and it is tried again")
      self._retry_at = time.monotonic() + _RETRY_SECONDS
    else:
      self._written, self._retry_at = written, None
      self._serial, self.step = self._serial + 1, step

  def _refuse_vanished(self):
    path = os.path.join(self._workdir, run_names.LOCK)
    try:
      same = os.path.samestat(os.stat(path), os.fstat(self._lock))
    except OSError:
      same = False
    if not same:
      text = f"the workdir {self._workdir} was removed or replaced"
      raise VanishedError(f"{text} while the run went on")

  def _refuse_nonfinite(self, step, tensors):
    name = self._snapshot.first_nonfinite(tensors)
    if name is not None:
      text = f"after {step} updates {name} is not finite"
      raise NonFiniteError(step, message=f"{text}: that was not saved")

  def _restore(self, check_fits):
    """Restores the newest checkpoint that can be read, if there are any."""
    failures = []
    for serial in reversed(self._files.serials()):
      try:
        texts = self._files.read(serial, _TEXTS)
        log, written = (
          json.loads(texts[name].numpy()) for name in ("log", "written")
        )
        if log["version"] != _VERSION:
          checks.fail("checkpoint version", log["version"], str(_VERSION))
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
      self.step, self.data = log["step"], texts["data"].numpy()
      for failure in failures:
        self._tell(f"warning: checkpoint skipped as damaged: {failure}")
      return
    if failures or self._journal.exists(empty=False):
      tried = "; ".join(failures) or "there are none"
      rule = f"a folder whose checkpoints can be read ({tried})"
      checks.fail("workdir", str(self._workdir), rule)
    found = run_names.events(self._workdir)
    alone = [path for path in found if not run_names.is_dry(path)]
    if alone and not self._journal.exists():
      rule = f"a folder without events of a run that is gone ({alone[0]})"
      checks.fail("workdir", str(self._workdir), rule)


class VanishedError(OSError):
  """The workdir is no longer the folder that the run began in."""
