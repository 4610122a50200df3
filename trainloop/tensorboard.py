"""TensorBoard's event files: written, measured, cut back.

Runs `train`, `validation` and `plan` are folders of the workdir, and so are
`fit_1`, `fit_2`, ...: a session of the HParams page each. Events are
TensorBoard's own protos in its own record format.
"""

import contextlib
import os
import socket
import time

import numpy as np
import tensorflow as tf
from tensorboard.compat.proto import event_pb2, summary_pb2

from trainloop import events, run_files, run_names

LEARNING_RATE = "hyperparameters/learning_rate"
MOMENTUM = "hyperparameters/momentum"
SCALE = "hyperparameters/plateau_scale"
LOSS_SCALE = "hyperparameters/loss_scale"
EPOCH_LOSS = "epoch_loss"
TAGS = (LEARNING_RATE, MOMENTUM, "loss", "grad_norm")


class EventFile:
  """One event file, new in its folder; `dry` if it is of a dry run."""

  def __init__(self, folder, dry=False):
    os.makedirs(folder, exist_ok=True)
    run_files.check(folder, folder=True)
    now, exact = time.time(), time.time_ns()
    host, pid = socket.gethostname(), os.getpid()
    name = f"events.out.tfevents.{int(now):010d}.{host}.{pid}.{exact:019d}"
    name += run_names.DRY if dry else ""
    self._path, self._good = os.path.join(folder, name), 0
    run_files.make(self._path)  # TensorFlow would follow a link
    self._file = tf.io.TFRecordWriter(self._path)
    self._write(event_pb2.Event(wall_time=now, file_version="brain.Event:2"))

  def scalars(self, wall_time, step, values):
    """One event with all of {tag: float} at a step."""
    summary = summary_pb2.Summary()
    for tag, value in values.items():
      summary.value.add(tag=tag, simple_value=value)
    event = event_pb2.Event(wall_time=wall_time, step=step, summary=summary)
    self._write(event)

  def table(self, times, steps, tags, table):
    """One event a row of a float32 table; without momentum if it has none."""
    kept = [
      i
      for i, tag in enumerate(tags)
      if tag != MOMENTUM or not np.isnan(table[:, i]).all()
    ]
    names = [tags[i] for i in kept]
    table = table[:, kept]
    for event in events.encode(times, steps, names, table):
      self._file.write(event)

  def _write(self, event):
    self._file.write(event.SerializeToString())

  def summary(self, wall_time, step, summary):
    """One event with a plugin's summary, bytes; see `summaries`."""
    event = event_pb2.Event(wall_time=wall_time, step=step)
    event.summary.ParseFromString(summary)
    self._write(event)

  def graph(self, wall_time, step, graph):
    """One event with a GraphDef, bytes."""
    self._write(
      event_pb2.Event(wall_time=wall_time, step=step, graph_def=graph)
    )

  def flush(self):
    """Hands all to the operating system; OpError if it does not take it."""
    self._file.flush()

  def settle(self):
    """Makes what was flushed the state that `abandon` goes back to."""
    self._good = os.path.getsize(self._path)

  def close(self):
    self._file.close()

  def abandon(self):
    """Closes the file as it was when it settled last, or removes it."""
    with contextlib.suppress(tf.errors.OpError):
      self._file.close()
    with contextlib.suppress(OSError):
      if self._good:
        run_files.cut(self._path, self._good)
      else:
        run_files.remove(self._path)


def plan_table(rates, momenta):
  """A curve as the first two `TAGS`, float32 (n, 2); momenta may be None."""
  none = np.full_like(rates, np.nan)
  return np.stack([rates, none if momenta is None else momenta], axis=1)


def write_run(folder, times, steps, tags, table, dry=False):
  """Writes a table as a run of its own, and closes it.

  Args:
    folder: of the run, made if missing.
    times: float64 (n,), wall times in seconds.
    steps: int64 (n,), ascending.
    tags: names of the columns.
    table: float32 (n, len(tags)).
    dry: whether it is of a dry run, which the run itself replaces.
  """
  run = EventFile(folder, dry)
  run.table(times, steps, tags, table)
  run.close()


def sizes(workdir):
  """{path below workdir: bytes} of all event files of a run."""
  paths = run_names.events(workdir)
  return {path: os.path.getsize(os.path.join(workdir, path)) for path in paths}


def cut(workdir, kept):
  """Takes event files back to the sizes they had; others are removed.

  What was written later goes, and with it a record torn by a kill. The cost
  does not grow with the length of the run.

  Args:
    workdir: the run's folder.
    kept: {path below workdir: bytes}, from `sizes`.

  Returns:
    The paths of files that are shorter than they were, or gone.
  """
  found = sizes(workdir)
  for path, size in found.items():
    full = os.path.join(workdir, path)
    if path not in kept:
      run_files.remove(full)
    elif size > kept[path]:
      run_files.cut(full, kept[path])
  return sorted(p for p, size in kept.items() if found.get(p, 0) < size)
