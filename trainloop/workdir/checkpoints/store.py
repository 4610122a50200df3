"""A run's folder: locked, restored from its newest checkpoint, and mended.

After a kill anywhere, the newest checkpoint's rows are all there, since
`Saver` flushes them first; what was written after it is cut off.
"""

import contextlib
import json
import os
import typing

import tensorflow as tf

from kernels import checks
from trainloop.base import output, strict_json
from trainloop.workdir import (
  claims,
  fit_log,
  row_journal,
  run_files,
  run_names,
)
from trainloop.workdir.checkpoints.files import CheckpointFiles, reason
from trainloop.workdir.extents import is_same, refuse_shorter, vanished
from trainloop.workdir.fit_log import FitLog
from trainloop.workdir.mending import Mending, Written
from trainloop.workdir.tensorboard import event_file, event_reader
from trainloop.workdir.wall_clock import WallClock

_TEXTS = {"log": tf.string, "written": tf.string, "data": tf.string}


class Newest(typing.NamedTuple):
  """The newest checkpoint that was committed or restored.

  Attributes:
    serial: its number; 0 for none.
    step: updates done, global.
    position: bytes that say where the data was.
    written: what it remembers of the records beside it, a `Written`.
  """

  serial: int = 0
  step: int = 0
  position: bytes = b""
  written: Written = Written()


class Store:
  """What a run keeps on disk so that it can go on after a kill.

  Args:
    workdir: the run's folder; made if missing.
    snapshot: the `Snapshot` of everything that training moves.
    layout: the `Layout` of the run's rows.
    keep: how many checkpoints stay, int >= 1.
    tell: called with a line when something went wrong that is not fatal.

  Attributes:
    log: the run's `FitLog`, saved with the variables.
    newest: the `Newest` checkpoint.
    journal: the `RowJournal`.
    clock: the `WallClock` of the run's events.
  """

  def __init__(self, workdir, snapshot, layout, keep=2, tell=output.line):
    self._workdir, self._snapshot, self._tell = workdir, snapshot, tell
    folder = os.path.join(workdir, run_names.CHECKPOINTS)
    self._files = CheckpointFiles(folder, keep)
    self._layout = layout
    self.journal = row_journal.RowJournal(workdir, layout)
    self.log, self.newest, self.clock = FitLog(), Newest(), WallClock()
    self._lock = self._serials = None
    self._restores, self._wrote = True, False

  def exists(self):
    """Whether the folder holds a run already."""
    return self.journal.exists() or bool(self._files.serials())

  @property
  def is_open(self):
    """Whether this process holds the folder's lock."""
    return self._lock is not None

  def open(self, clear=False):
    """Locks the folder.

    Args:
      clear: whether to remove the run that is there.

    Raises:
      ValueError: if another process uses the folder, or has used it between
        two fits of this one.
    """
    os.makedirs(self._workdir, exist_ok=True)
    self._lock = claims.lock(self._workdir)
    if clear:
      run_files.remove_all(self._workdir)
    self._files.make()
    if not self._restores and self._serials != self._files.serials():
      rule = "left alone by other processes between two fits"
      checks.fail("workdir", str(self._workdir), rule)

  def restore_newest(self, check_log=None):
    """Puts back the newest checkpoint that can be read, if there are any: the
    first time, and after `forget`. Then makes damaged records again.

    Args:
      check_log: called with the checkpoint's `FitLog` before anything is put
        back; raises where the run is another one. Or None.

    Returns:
      Whether records were made again that the checkpoint remembers otherwise.

    Raises:
      ValueError: if none of the checkpoints can be read, or they are those
        of another model.
    """
    if self._restores:
      self.journal.close()
      self._restore(check_log)
      self._restores = False
      self._files.discard()
    self._serials = self._files.serials()
    mending = Mending(
      self._workdir,
      self.newest.written,
      self.newest.step,
      self.log.fits,
      self._layout,
    )
    mending.run()
    self.newest = self.newest._replace(written=mending.written)
    for line in mending.lines:
      self._tell(line)
    return bool(mending.lines)

  def begin(self):
    """Cuts off what was written after the newest checkpoint, and opens the
    journal. Nothing is written behind what can't be cut off.

    Raises:
      OSError: if that fails.
    """
    events = self.newest.written.events
    event_file.cut(self._workdir, {p: e.size for p, e in events.items()})
    refuse_shorter(self._workdir, events)
    self.journal.open(self.newest.step, self.newest.written.crcs)

  def restore_epoch(self, epoch, variables):
    """Puts back variables as a checkpoint at the end of an epoch has them.

    Args:
      epoch: of the run, counted from 1.
      variables: tf.Variables of the snapshot; others stay.

    Raises:
      ValueError: if no checkpoint of that epoch was kept, naming those.
    """
    names = self._snapshot.names_of(variables)
    dtypes = {name: self._snapshot.dtypes[name] for name in names}
    there, tensors = set(), None
    for serial in self._files.serials():
      with contextlib.suppress(Exception):  # damage has many kinds
        log = json.loads(self._files.read(serial, _TEXTS)["log"].numpy())
        ended = FitLog.from_json(log).fits[-1].epoch_of(log["step"])
        if ended == epoch:
          tensors = self._files.read(serial, dtypes)
        there |= {ended} - {None}
    if tensors is None:
      rule = "the end of an epoch whose checkpoint was kept"
      checks.fail("epoch", epoch, f"{rule}: {sorted(there) or 'none'}")
    self._snapshot.put_back(tensors)

  def forget(self):
    """Makes the next `restore_newest` go back to the newest checkpoint."""
    self._restores = True

  def texts(self, step, position):
    """What a checkpoint holds beside variables: {name: text}.

    Args:
      step: updates done, global.
      position: where the data is, bytes.
    """
    shapes, log = self._snapshot.shapes, self.log.to_json()
    log = {"version": fit_log.VERSION, "shapes": shapes, **log, "step": step}
    return {"log": strict_json.dumps(log), "data": position}

  def write(self, step, texts, tensors, written):
    """Commits a checkpoint; on any thread.

    Args:
      step: updates done, global.
      texts: what `texts` gave for it.
      tensors: what `Snapshot.take` gave for it.
      written: the `Written` records beside it.
    """
    serial = self.newest.serial + 1
    own = {**texts, "written": written.to_json()}
    own = {name: tf.constant(text) for name, text in own.items()}
    self._files.write(serial, {**own, **tensors})
    self.newest = Newest(serial, step, texts["data"], written)
    self._wrote = True

  def refuse_vanished(self, events=None):
    """Ends a run whose folder, or one of whose event files, is gone.

    Args:
      events: {path below the workdir: `Extent`} that must be there, or None.

    Raises:
      VanishedError: if one is not.
    """
    if not is_same(self._lock, os.path.join(self._workdir, run_names.LOCK)):
      vanished(f"the workdir {self._workdir}")
    refuse_shorter(self._workdir, events or {})

  def close(self):
    """Closes all and frees the folder; after `Saver.close`."""
    if self._lock is not None:
      if self._wrote:
        self._files.tidy()
      self._serials = self._files.serials()
    self.journal.close()
    if self._lock is not None:
      os.close(self._lock)
    self._lock = None

  def _restore(self, check_log):
    """Restores the newest checkpoint that can be read, if there are any."""
    failures = []
    for serial in reversed(self._files.serials()):
      try:
        texts = self._files.read(serial, _TEXTS)
        config = json.loads(texts["log"].numpy())
        fit_log.check_version(self._workdir, config["version"])
        log = FitLog.from_json(config)
        written = Written.from_json(texts["written"].numpy())
        if check_log is not None:
          check_log(log)
        self._snapshot.check(config["shapes"])
        tensors = self._files.read(serial, self._snapshot.dtypes)
      except checks.ArgumentError:
        raise
      except Exception as error:  # damage has many kinds
        failures.append(f"ckpt-{serial}: {reason(error)}")
        continue
      self._snapshot.put_back(tensors)
      self.log, position = log, texts["data"].numpy()
      self.newest = Newest(serial, config["step"], position, written)
      self.clock = WallClock(written.wall)
      for failure in failures:
        self._tell(f"warning: checkpoint skipped as damaged: {failure}")
      return
    self._refuse_lost(failures)

  def _refuse_lost(self, failures):
    """Refuses a folder with rows or events of a run, but no checkpoint."""
    if failures or self.journal.exists(empty=False):
      tried = "; ".join(failures) or "there are none"
      rule = f"a folder whose checkpoints can be read ({tried})"
      checks.fail("workdir", str(self._workdir), rule)
    path = event_reader.of_lost_run(self._workdir, self.journal.exists())
    if path is not None:
      rule = f"a folder without events of a run that is gone ({path})"
      checks.fail("workdir", str(self._workdir), rule)
