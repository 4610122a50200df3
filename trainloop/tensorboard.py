"""The event writer: rows become TensorBoard events, on a thread of its own.

Runs `train`, `validation` and `plan` are folders of the workdir. Events are
TensorBoard's own protos in its own record format.
"""

import os
import queue
import socket
import threading
import time

import numpy as np
import tensorflow as tf
from tensorboard.compat.proto import event_pb2, summary_pb2

from trainloop import events

LEARNING_RATE = "hyperparameters/learning_rate"
MOMENTUM = "hyperparameters/momentum"
SCALE = "hyperparameters/plateau_scale"
RUNS = ("train", "validation", "plan")
_TAGS = (LEARNING_RATE, MOMENTUM, "loss", "grad_norm")
# Windows that may wait for the thread; a full queue slows the loop down
# rather than losing rows.
_QUEUE = 64


class _Run:
  """One event file."""

  def __init__(self, folder):
    os.makedirs(folder, exist_ok=True)
    now = time.time()
    host, pid = socket.gethostname(), os.getpid()
    name = f"events.out.tfevents.{int(now):010d}.{host}.{pid}.{time.time_ns()}"
    self._file = tf.io.TFRecordWriter(os.path.join(folder, name))
    self._write(event_pb2.Event(wall_time=now, file_version="brain.Event:2"))

  def scalars(self, wall_time, step, values):
    """One event with all of {tag: float} at a step."""
    summary = summary_pb2.Summary()
    for tag, value in values.items():
      summary.value.add(tag=tag, simple_value=value)
    event = event_pb2.Event(wall_time=wall_time, step=step, summary=summary)
    self._write(event)

  def table(self, times, first_step, tags, table):
    """One event a row of a float32 table; without momentum if it has none."""
    kept = [
      i
      for i, tag in enumerate(tags)
      if tag != MOMENTUM or not np.isnan(table[:, i]).all()
    ]
    names = [tags[i] for i in kept]
    for event in events.encode(times, first_step, names, table[:, kept]):
      self._file.write(event)

  def _write(self, event):
    self._file.write(event.SerializeToString())

  def flush(self):
    self._file.flush()

  def close(self):
    self._file.close()


class EventWriter:
  """Writes a run's events from a background thread.

  Args:
    workdir: the run's folder, made if missing.
    log_every: each row whose step is a multiple of this is written, int >= 1.
  """

  def __init__(self, workdir, log_every=1):
    self._workdir = workdir
    self._log_every = log_every
    self._runs = {}
    self._failure = None
    self._tasks = queue.Queue(_QUEUE)
    self._thread = threading.Thread(target=self._work, daemon=True)
    self._thread.start()

  def plan(self, first_step, rates, momenta):
    """The planned curve: float32 arrays, one entry a step; momenta or None."""
    if momenta is None:
      momenta = np.full_like(rates, np.nan)
    table = np.stack([rates, momenta], axis=1)
    times = np.full(len(rates), time.time())
    self._put("plan", "table", times, first_step, _TAGS[:2], table)
    self.flush()

  def rows(self, began, first_step, rows):
    """A window's rows, float32 (n, >= 4) in the order of the tags.

    Args:
      began: the window's start in wall time.
      first_step: step of the first row.
      rows: the columns after the fourth have no tag.
    """
    rows = rows[:, : len(_TAGS)]
    times = np.linspace(began, time.time(), len(rows) + 1)[1:]
    if self._log_every == 1:
      self._put("train", "table", times, first_step, _TAGS, rows)
      return
    for i in range(-first_step % self._log_every, len(rows), self._log_every):
      one = slice(i, i + 1)
      self._put("train", "table", times[one], first_step + i, _TAGS, rows[one])

  def scalars(self, run, step, values):
    """{tag: float} at a step, into "train" or "validation"."""
    self._put(run, "scalars", time.time(), step, values)

  def flush(self):
    """Returns once everything is handed to the operating system."""
    self._put(None, "flush")
    self._tasks.join()
    self._raise()

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
    while (task := self._tasks.get()) is not None:
      try:
        self._do(*task)
      except Exception as error:  # reported to the loop at its next call
        self._failure = error
      finally:
        self._tasks.task_done()
    for run in self._runs.values():
      run.close()

  def _do(self, name, method, *values):
    if method == "flush":
      for run in self._runs.values():
        run.flush()
      return
    if name not in self._runs:
      self._runs[name] = _Run(os.path.join(self._workdir, name))
    getattr(self._runs[name], method)(*values)


def write_run(folder, times, first_step, tags, table):
  """Writes a table as a run of its own, and closes it.

  Args:
    folder: of the run, made if missing.
    times: float64 (n,), wall times in seconds.
    first_step: step of the first row.
    tags: names of the columns.
    table: float32 (n, len(tags)).
  """
  run = _Run(folder)
  run.table(times, first_step, tags, table)
  run.close()


def sizes(workdir):
  """{path below workdir: bytes} of all event files of a run."""
  found = {}
  for run in RUNS:
    folder = os.path.join(workdir, run)
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
      path = os.path.join(folder, name)
      found[os.path.join(run, name)] = os.path.getsize(path)
  return found


def cut(workdir, kept):
  """Takes event files back to the sizes they had; others are removed.

  What was written later goes, and with it a record torn by a kill. The cost
  does not grow with the length of the run.

  Args:
    workdir: the run's folder.
    kept: {path below workdir: bytes}, from `sizes`.
  """
  for path, size in sizes(workdir).items():
    full = os.path.join(workdir, path)
    if path not in kept:
      os.remove(full)
    elif size > kept[path]:
      os.truncate(full, kept[path])
