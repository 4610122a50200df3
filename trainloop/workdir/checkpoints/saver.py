"""Saves in the background: rows first, then the checkpoint that remembers
them.

The order of a save, on a thread of its own:
1. the folder is still the run's;
2. the waiting rows are written to the row journal and fsynced;
3. the event files' sizes are awaited: their bytes are on the disk then;
4. no weight and no slot is NaN or infinite;
5. the checkpoint's data and index are written under other names and fsynced;
   the data gets its name, then the index: from here on it exists; the folder
   is fsynced, and the oldest one goes (`CheckpointFiles.write`).
"""

import time
from concurrent import futures

from trainloop.base import output
from trainloop.workdir.checkpoints.files import DISK_TROUBLE, reason
from trainloop.workdir.extents import VanishedError
from trainloop.workdir.history import NonFiniteError
from trainloop.workdir.mending import Written

_RETRY_SECONDS = 10.0


class Saver:
  """Commits checkpoints of a `Store`, one at a time.

  Args:
    store: the `Store`, open whenever something is saved.
    snapshot: the `Snapshot` of everything that training moves.
    tell: called with a line when a save failed that is tried again.
  """

  def __init__(self, store, snapshot, tell=output.line):
    self._store, self._snapshot, self._tell = store, snapshot, tell
    self._thread = self._saving = self._retry_at = None

  @property
  def owes(self):
    """Whether a save failed a while ago, and it is time to try again."""
    return self._retry_at is not None and time.monotonic() > self._retry_at

  def save(self, step, events, position=b""):
    """Commits all variables and the log, in the background.

    Returns once the variables are copied; waits for the save before.

    Args:
      step: global step of the variables.
      events: a Future of `EventWriter.extents` up to that step.
      position: where the data is, bytes.
    """
    self.wait()
    if self._thread is None:
      self._thread = futures.ThreadPoolExecutor(1)
    texts = self._store.texts(step, position)
    tensors, blocks = self._snapshot.take(), self._store.journal.waiting
    wall = self._store.clock.latest
    self._saving = self._thread.submit(
      self._commit, step, texts, tensors, blocks, events, wall
    )

  def check(self):
    """Raises what ended a save in the background, if not disk trouble."""
    if self._saving is not None and self._saving.done():
      self.wait()

  def wait(self):
    """Returns once the last save is committed, or has failed.

    Returns:
      Whether the last save is on the disk, and not waiting to be tried again.
    """
    if self._saving is not None:
      saving, self._saving = self._saving, None
      saving.result()
    return self._retry_at is None

  def close(self):
    """Waits for a save that goes on, and ends the thread."""
    try:
      self.wait()
    finally:
      if self._thread is not None:
        self._thread.shutdown()
      self._thread = None

  def _commit(self, step, texts, tensors, blocks, events, wall):
    """Rows first, then the checkpoint; on the thread."""
    store = self._store
    try:
      store.refuse_vanished()
      store.journal.flush(blocks)
      extents = {**store.newest.written.events, **events.result()}
      store.refuse_vanished(extents)
      written = Written(extents, store.journal.crcs, wall)
      self._refuse_nonfinite(step, tensors)
      store.write(step, texts, tensors, written)
    except VanishedError:
      raise
    except DISK_TROUBLE as error:
      store.refuse_vanished()
      text = f"warning: step {step} could not be saved ({reason(error)})"
      self._tell(f"{text}; the checkpoint before stays, and it is tried again")
      self._retry_at = time.monotonic() + _RETRY_SECONDS
    else:
      self._retry_at = None

  def _refuse_nonfinite(self, step, tensors):
    name = self._snapshot.first_nonfinite(tensors)
    if name is not None:
      text = f"after {step} updates {name} is not finite"
      raise NonFiniteError(step, f"{text}: that was not saved")
