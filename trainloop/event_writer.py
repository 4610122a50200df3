"""The thread that writes events, and writes them again after disk trouble."""

import os
import queue
import threading
import time
from concurrent import futures

import numpy as np

from trainloop import summaries, tensorboard
from trainloop.checkpoint_files import DISK_TROUBLE, reason
from trainloop.tensorboard import TAGS

# Windows that may wait for the thread; a full queue slows the loop down
# rather than losing rows.
_QUEUE = 64
_FLUSH_SECONDS = 1.0
# Rows kept for a disk that takes none, 20 bytes each and in the history too.
_MOST_WAITING = 1 << 22


class EventWriter:
  """Writes a run's events from a background thread.

  What was written since the last good flush is kept. If the disk is full, the
  files are cut back to it, and all that follows waits until new files take it.

  Args:
    workdir: the run's folder, made if missing.
    log_every: each row whose step is a multiple of this is written, int >= 1.
    tell: called with a line when trouble begins and ends.
  """

  def __init__(self, workdir, log_every=1, tell=print):
    self._workdir = workdir
    self._log_every = log_every
    self._tell = tell
    self._runs, self._kept, self._waiting = {}, [], 0
    self._trouble = self._failure = None
    self._tasks = queue.Queue(_QUEUE)
    self._thread = threading.Thread(target=self._work, daemon=True)
    self._thread.start()

  def plan(self, drawn, run="plan"):
    """The planned curve: an `Outline` over global steps."""
    table = tensorboard.plan_table(drawn.rates, drawn.momenta)
    times = np.full(len(table), time.time())
    self._put(run, "table", times, drawn.steps, TAGS[:2], table)

  def rows(self, began, first_step, rows, ends=()):
    """A window's rows, float32 (n, >= 4) in the order of the tags.

    Args:
      began: the window's start in wall time.
      first_step: step of the first row.
      rows: the columns after the fourth have no tag.
      ends: numbers of rows after which an epoch ends: the last of them is
        written whatever `log_every` is.
    """
    rows = rows[:, : len(TAGS)]
    times = np.linspace(began, time.time(), len(rows) + 1)[1:]
    steps = first_step + np.arange(len(rows), dtype=np.int64)
    if self._log_every > 1:
      due = steps % self._log_every == 0
      due[np.array(ends, np.int64) - 1] = True
      times, steps, rows = times[due], steps[due], rows[due]
    if len(rows):
      self._put("train", "table", times, steps, TAGS, rows)

  def scalars(self, run, step, values):
    """{tag: float} at a step, into "train" or "validation"."""
    self._put(run, "scalars", time.time(), step, values)

  def summary(self, run, step, summary):
    """A plugin's summary at a step, bytes; see `summaries`."""
    self._put(run, "summary", time.time(), step, summary)

  def graph(self, step, graph):
    """A GraphDef in run "train", bytes."""
    self._put("train", "graph", time.time(), step, graph)

  def text(self, step, tag, content):
    """A text in run "train" at a step."""
    self.summary("train", step, summaries.text(tag, content))

  def sizes(self):
    """What `tensorboard.sizes` gives once all so far is written: a Future.

    Its exception is the disk's, if that does not take it.
    """
    found = futures.Future()
    self._put(None, "sizes", found)
    return found

  def flush(self):
    """Returns once everything is handed to the operating system."""
    self.sizes().result()

  def close(self):
    """Writes what is left and closes the files."""
    self._tasks.put(None)
    self._thread.join()
    self._raise()

  def _put(self, *task):
    self._raise()
    self._tasks.put(task)

  def _raise(self):
    if self._failure is not None:
      failure, self._failure = self._failure, None
      raise failure

  def _work(self):
    due = time.monotonic() + _FLUSH_SECONDS
    while True:
      try:
        task = self._tasks.get(timeout=_FLUSH_SECONDS)
        if task is None:
          break
        self._do(*task)
      except queue.Empty:
        pass
      except Exception as error:  # reported to the loop at its next call
        self._failure = error
      if time.monotonic() >= due:
        self._flush()
        due = time.monotonic() + _FLUSH_SECONDS
    self._flush()
    for run in self._runs.values():
      run.close()

  def _do(self, name, method, *values):
    if method == "sizes":
      self._answer(*values)
      return
    self._kept.append((name, method, *values))
    if self._trouble is None:
      try:
        self._write(name, method, *values)
      except DISK_TROUBLE as error:
        self._fall_back(error)
    elif method == "table":
      self._waiting += len(values[0])
      if self._waiting > _MOST_WAITING:
        text = f"no space for the events of {self._waiting} updates"
        raise OSError(f"{text} in {self._workdir} ({self._trouble})")

  def _answer(self, found):
    try:
      if not self._flush():
        raise self._trouble
      found.set_result(tensorboard.sizes(self._workdir))
    except Exception as error:
      found.set_exception(error)

  def _write(self, name, method, *values):
    if name not in self._runs:
      folder = os.path.join(self._workdir, name)
      self._runs[name] = tensorboard.EventFile(folder)
    getattr(self._runs[name], method)(*values)

  def _flush(self):
    """Hands all to the operating system; returns whether it took it."""
    try:
      if self._trouble is not None:
        for task in self._kept:
          self._write(*task)
      for run in self._runs.values():
        run.flush()
      for run in self._runs.values():  # all, or what is kept would be double
        run.settle()
    except DISK_TROUBLE as error:
      self._fall_back(error)
      return False
    if self._trouble is not None:
      self._tell("events are written again, none is missing")
    self._trouble, self._waiting = None, 0
    self._kept.clear()
    return True

  def _fall_back(self, error):
    """Cuts the files back to the last good flush; new ones come later."""
    for run in self._runs.values():
      run.abandon()
    self._runs.clear()
    if self._trouble is None:
      text = f"warning: events cannot be written now ({reason(error)})"
      self._tell(f"{text}; they wait in memory")
    self._trouble = error
