"""A run's folder: lock, checkpoints, row journal, and the log of its fits.

Rows are flushed first, then the checkpoint that remembers them is committed:
after a kill anywhere, the newest checkpoint's rows are all there, and what was
written after it is cut off.
"""

import fcntl
import json
import os
import re
import shutil

import numpy as np
import tensorflow as tf

from kernels import checks
from trainloop import tensorboard
from trainloop.window import COLUMNS

_FOLDER, _JOURNAL, _LOCK = "checkpoints", "rows.f32", ".lock"
_VERSION = 1
_KEEP = 2
_ROW_BYTES = 4 * len(COLUMNS)
# What reading a damaged checkpoint raises, by the kind of damage.
_DAMAGE = (tf.errors.OpError, IndexError, ValueError, UnicodeDecodeError)


class RunStore:
  """What a run keeps on disk so that it can go on after a kill.

  Args:
    workdir: the run's folder; made if missing.
    groups: {name: list of tf.Variable}, everything that training moves.

  Attributes:
    log: {"fits": [...], "resumed_from": [steps], "seconds": float, "events":
      {file: bytes}}, JSON types that are saved with the variables.
  """

  def __init__(self, workdir, groups):
    self._workdir = workdir
    self._groups = groups
    self._text = tf.Variable("", dtype=tf.string, trainable=False)
    self._checkpoint = tf.train.Checkpoint(log=self._text, **groups)
    self.log = {
      "fits": [],
      "resumed_from": [],
      "seconds": 0.0,
      "events": {},
    }
    self._journal = self._lock = self._serial = None

  def exists(self):
    """Whether the folder holds a run already."""
    return os.path.exists(os.path.join(self._workdir, _JOURNAL))

  @property
  def is_open(self):
    """Whether this process holds the folder's lock."""
    return self._lock is not None

  def open(self, check_fits):
    """Locks the folder; the first time, restores the newest checkpoint.

    Args:
      check_fits: called with the checkpoint's list of fits before anything is
        restored; raises where the run is another one.

    Raises:
      ValueError: if another process uses the folder, or none of its
        checkpoints can be read, or they are those of another model.
    """
    os.makedirs(os.path.join(self._workdir, _FOLDER), exist_ok=True)
    self._lock = _locked(self._workdir)
    if self._serial is None:
      self._serial = self._restore(check_fits)
      self._sweep()
    elif self._serial != (self._serials() or [0])[-1]:
      rule = "left alone by other processes between two fits"
      checks.fail("workdir", str(self._workdir), rule)

  def begin(self, step):
    """Cuts off what was written after a step, and opens the journal.

    Args:
      step: global step at which the fit begins or goes on.
    """
    tensorboard.cut(self._workdir, self.log["events"])
    path = os.path.join(self._workdir, _JOURNAL)
    self._journal = open(path, "ab")  # noqa: SIM115, open between saves
    self._journal.truncate(step * _ROW_BYTES)

  def close(self):
    """Closes the journal and frees the folder."""
    if self._journal is not None:
      self._journal.close()
    if self._lock is not None:
      os.close(self._lock)
    self._journal = self._lock = None

  def rows(self, first, last):
    """Rows of the steps first .. last-1 from the journal, float32 (n, 5)."""
    path = os.path.join(self._workdir, _JOURNAL)
    if first == last:
      return np.zeros((0, len(COLUMNS)), np.float32)
    count, offset = (last - first) * len(COLUMNS), first * _ROW_BYTES
    found = np.fromfile(path, np.float32, count, offset=offset)
    return found.reshape(-1, len(COLUMNS))

  def add_rows(self, rows):
    """Appends rows to the journal; `save` makes them durable."""
    self._journal.write(np.ascontiguousarray(rows).tobytes())

  def save(self):
    """Commits a checkpoint of all variables and the log, atomically."""
    self._journal.flush()
    os.fsync(self._journal.fileno())
    self._serial += 1
    self.log["events"] = tensorboard.sizes(self._workdir)
    shapes = {name: _shapes(group) for name, group in self._groups.items()}
    log = {"version": _VERSION, "shapes": shapes, **self.log}
    self._text.assign(json.dumps(log))
    self._checkpoint.write(self._prefix(self._serial))  # index file last
    for old in self._serials()[:-_KEEP]:
      self._remove(old)

  def _restore(self, check_fits):
    """Restores the newest checkpoint that can be read; returns its number."""
    found, failures = self._serials(), []
    for serial in reversed(found):
      prefix = self._prefix(serial)
      try:
        log = json.loads(_read_log(prefix))
        check_fits(log["fits"])
        self._check(log)
        self._checkpoint.read(prefix).assert_consumed()
      except checks.ArgumentError:
        raise
      except _DAMAGE as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        failures.append(f"ckpt-{serial}: {reason[0][:80]}")
        continue
      self.log = {name: log[name] for name in self.log}
      for failure in failures:
        print(f"warning: checkpoint skipped as damaged: {failure}")
      return serial
    rows = os.path.join(self._workdir, _JOURNAL)
    if failures or (os.path.exists(rows) and os.path.getsize(rows)):
      tried = "; ".join(failures) or "there are none"
      rule = f"a folder whose checkpoints can be read ({tried})"
      checks.fail("workdir", str(self._workdir), rule)
    return 0

  def _check(self, log):
    checks.choice("checkpoint version", log["version"], (_VERSION,))
    for name, group in self._groups.items():
      old, new = log["shapes"].get(name), _shapes(group)
      if old != new:
        rule = f"that of the run's checkpoint, {_difference(old, new)}"
        checks.fail(name, f"{len(new)} variables", rule)

  def _serials(self):
    names = os.listdir(os.path.join(self._workdir, _FOLDER))
    matches = (re.fullmatch(r"ckpt-(\d+)\.index", name) for name in names)
    return sorted(int(match[1]) for match in matches if match)

  def _sweep(self):
    """Removes what an interrupted save left."""
    kept = self._serials()
    folder = os.path.join(self._workdir, _FOLDER)
    for name in os.listdir(folder):
      match = re.match(r"ckpt-(\d+)", name)
      if match and int(match[1]) not in kept:
        path = os.path.join(folder, name)
        if os.path.isdir(path):
          shutil.rmtree(path)
        else:
          os.remove(path)

  def _remove(self, serial):
    folder = os.path.join(self._workdir, _FOLDER)
    os.remove(self._prefix(serial) + ".index")  # first: then it is no more
    for name in os.listdir(folder):
      if name.startswith(f"ckpt-{serial}."):
        os.remove(os.path.join(folder, name))

  def _prefix(self, serial):
    return os.path.join(self._workdir, _FOLDER, f"ckpt-{serial}")


def _locked(workdir):
  """An open file that holds the folder's lock; death frees it."""
  lock = os.open(os.path.join(workdir, _LOCK), os.O_CREAT | os.O_RDWR, 0o644)
  try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError:
    os.close(lock)
    checks.fail("workdir", str(workdir), "a folder no other process trains in")
  return lock


def _read_log(prefix):
  reader = tf.train.load_checkpoint(prefix)
  return reader.get_tensor("log/.ATTRIBUTES/VARIABLE_VALUE").decode()


def _shapes(group):
  return [[v.dtype.name, *v.shape] for v in group]


def _difference(old, new):
  """The first variable that differs, in words."""
  for i, (a, b) in enumerate(zip(old or [], new, strict=False)):
    if a != b:
      return f"whose variable {i} is {a} and not {b}"
  return f"which has {len(old or [])} variables"
