"""The thread that writes events, and writes them again after disk trouble."""

import contextlib
import os
import queue
import threading
import time
from concurrent import futures

import numpy as np

from trainloop.base import output
from trainloop.model.rows import Layout
from trainloop.workdir import run_files
from trainloop.workdir.checkpoints.files import DISK_TROUBLE, reason
from trainloop.workdir.extents import VanishedError, is_same, vanished
from trainloop.workdir.tensorboard import event_file, plugin_summaries
from trainloop.workdir.wall_clock import WallClock

# Windows that may wait for the thread; a full queue slows the loop down
# rather than losing rows.
_QUEUE = 64
_FLUSH_SECONDS = 1.0
# Rows kept for a disk that takes none, 20 bytes each and in the history too.
_MOST_WAITING = 1 << 22


class EventWriter:
  """Writes a run's events from a background thread.

  What was written since the last good flush is kept. If the disk is full, the
  files are cut back to it, and all that follows waits until new files take it:
  none before each old one could be cut, so that no event is there twice.

  Args:
    workdir: the run's folder, made if missing.
    log_every: each row whose step is a multiple of this is written, int >= 1.
    tell: called with a line when trouble begins and ends.
    clock: a `WallClock`, the events' own.
    layout: the `Layout` of the run's rows; None for the plain one.
  """

  def __init__(
    self, workdir, log_every=1, tell=output.line, clock=None, layout=None
  ):
    self._workdir = workdir
    self._log_every = log_every
    self._tell = tell
    self._clock = clock or WallClock()
    self._layout = layout or Layout()
    os.makedirs(workdir, exist_ok=True)
    self._folder = os.open(workdir, os.O_RDONLY | os.O_DIRECTORY)
    # {run: its open `EventFile`}; tasks since the last good flush; how many
    # rows wait for the disk.
    self._runs, self._unsettled, self._waiting = {}, [], 0
    # Files still to be cut back; {path: `Extent`} of those that were.
    self._torn, self._past = [], {}
    self._trouble = self._failure = None
    self._tasks = queue.Queue(_QUEUE)
    self._thread = threading.Thread(target=self._work, daemon=True)
    self._thread.start()

  def plan(self, outline, run="plan"):
    """The planned curve: an `Outline` over global steps."""
    tags, table = event_file.plan(outline)
    times = np.full(len(table), self._clock.now())
    self._put(run, "table", times, outline.steps, tags, table)

  def rows(self, began, first_step, rows, ends=()):
    """A window's rows, float32 (n, columns).

    Args:
      began: the window's start in wall time.
      first_step: step of the first row.
      rows: of them the columns that are a series are written.
      ends: numbers of rows after which an epoch ends: the last of them is
        written whatever `log_every` is.
    """
    rows = rows[:, event_file.tagged(self._layout)]
    began, now = self._clock.since(began)
    times = np.linspace(began, now, len(rows) + 1)[1:]
    steps = first_step + np.arange(len(rows), dtype=np.int64)
    if self._log_every > 1:
      due = steps % self._log_every == 0
      due[np.array(ends, np.int64) - 1] = True
      times, steps, rows = times[due], steps[due], rows[due]
    if len(rows):
      tags = event_file.tags(self._layout)
      self._put("train", "table", times, steps, tags, rows)

  def scalars(self, run, step, values):
    """{tag: float} at a step, into "train" or "validation"."""
    self._put(run, "scalars", self._clock.now(), step, values)

  def summary(self, run, step, summary):
    """A plugin's summary at a step, bytes; see `plugin_summaries`."""
    self._put(run, "summary", self._clock.now(), step, summary)

  def graph(self, step, graph):
    """A GraphDef in run "train", bytes."""
    self._put("train", "graph", self._clock.now(), step, graph)

  def text(self, step, tag, content):
    """A text in run "train" at a step."""
    self.summary("train", step, plugin_summaries.text(tag, content))

  def extents(self):
    """What is in the files once all so far is written: a Future of {path below
    the workdir: `Extent`}.

    Its exception is the disk's, if that does not take it.
    """
    answer = futures.Future()
    self._put(None, "extents", answer)
    return answer

  def flush(self):
    """Returns once everything is handed to the operating system."""
    self.extents().result()

  def close(self):
    """Writes what is left and closes the files."""
    self._tasks.put(None)
    self._thread.join()
    if self._folder is not None:
      os.close(self._folder)
      self._folder = None
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
    task = ()
    while task is not None:
      with self._noted():
        task = self._next()
        if task:
          self._do(*task)
      if task is None or time.monotonic() >= due:
        with self._noted():
          self._flush()
        due = time.monotonic() + _FLUSH_SECONDS
    for run in self._runs.values():
      with contextlib.suppress(*DISK_TROUBLE):  # all was flushed
        run.close()

  def _next(self):
    """The next task; () if none comes for a while, None after the last."""
    try:
      return self._tasks.get(timeout=_FLUSH_SECONDS)
    except queue.Empty:
      return ()

  @contextlib.contextmanager
  def _noted(self):
    """Reports an error to the loop at its next call; not that of a disk, which
    is tried again."""
    try:
      yield
    except DISK_TROUBLE as error:
      if isinstance(error, VanishedError) or error is not self._trouble:
        self._failure = error
    except Exception as error:
      self._failure = error

  def _do(self, name, method, *values):
    if method == "extents":
      self._answer(*values)
      return
    self._unsettled.append((name, method, *values))
    if self._trouble is None:
      try:
        self._write(name, method, *values)
      except VanishedError:
        raise
      except DISK_TROUBLE as error:
        self._fall_back(error)
    elif method == "table":
      self._waiting += len(values[0])
      if self._waiting > _MOST_WAITING:
        text = f"no space for the events of {self._waiting} updates"
        raise OSError(f"{text} in {self._workdir} ({self._trouble})")

  def _answer(self, answer):
    try:
      self._flush()
      answer.set_result({**self._past, **self._open_extents()})
    except Exception as error:
      answer.set_exception(error)

  def _open_extents(self):
    return {self._below(run): run.settled for run in self._runs.values()}

  def _below(self, run):
    return os.path.relpath(run.path, self._workdir)

  def _write(self, name, method, *values):
    if name not in self._runs:
      self._open_run(name, float(np.min(values[0])))
    getattr(self._runs[name], method)(*values)

  def _open_run(self, name, wall_time):
    """A new file of a run; a workdir that is gone is not made again."""
    if not is_same(self._folder, self._workdir):
      vanished(f"the workdir {self._workdir}")
    folder = os.path.join(self._workdir, name)
    run_files.folder(folder)
    run = self._runs[name] = event_file.EventFile(folder)
    run.open(wall_time)

  def _flush(self):
    """Hands all to the operating system, and what waited before.

    Raises:
      OSError, tf.errors.OpError: if it does not take it; all is kept.
    """
    try:
      self._cut_back()
      if self._trouble is not None:
        for task in self._unsettled:
          self._write(*task)
      for run in self._runs.values():
        run.flush()
      reached = [run.reached() for run in self._runs.values()]
      # All at once, or a part of what is kept would come twice.
      for run, extent in zip(self._runs.values(), reached, strict=True):
        run.settle(extent)
    except VanishedError:
      raise
    except DISK_TROUBLE as error:
      self._fall_back(error)
      raise
    if self._trouble is not None:
      self._tell("events are written again, none is missing")
    self._trouble, self._waiting = None, 0
    self._unsettled.clear()

  def _fall_back(self, error):
    """Cuts the files back to the last good flush; new ones come later."""
    self._torn.extend(self._runs.values())
    self._runs.clear()
    if self._trouble is None:
      text = f"warning: events cannot be written now ({reason(error)})"
      self._tell(f"{text}; they wait in memory")
    self._trouble = error
    with contextlib.suppress(*DISK_TROUBLE):  # the next flush tries again
      self._cut_back()

  def _cut_back(self):
    while self._torn:
      run = self._torn[-1]
      run.abandon()
      if run.settled.size:
        self._past[self._below(run)] = run.settled
      self._torn.pop()
