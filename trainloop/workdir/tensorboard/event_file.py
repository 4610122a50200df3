"""TensorBoard's event files: written, measured, cut back.

Runs `train`, `validation` and `plan` are folders of the workdir, and so are
`fit_1`, `fit_2`, ...: a session of the HParams page each. Events are
TensorBoard's own protos in its own record format.
"""

import contextlib
import os
import re
import socket
import time

import numpy as np
import tensorflow as tf
from tensorboard.compat.proto import event_pb2, summary_pb2

from trainloop.model import rows
from trainloop.workdir import run_files, run_names
from trainloop.workdir.extents import Extent, extend, is_same, vanished
from trainloop.workdir.tensorboard import row_encoding

LEARNING_RATE = "hyperparameters/learning_rate"
MOMENTUM = "hyperparameters/momentum"
SCALE = "hyperparameters/plateau_scale"
LOSS_SCALE = "hyperparameters/loss_scale"
EPOCH_LOSS = "epoch_loss"
_RESULTS = ("loss", "grad_norm")  # columns that are no hyperparameters


class EventFile:
  """One event file, the newest in its folder by name.

  Args:
    folder: there already.
    dry: whether it is of a dry run.

  Attributes:
    path: where it is.
    settled: the `Extent` that `abandon` goes back to.
  """

  def __init__(self, folder, dry=False):
    name = _newest_name(folder) + (run_names.DRY if dry else "")
    self.path, self.settled = os.path.join(folder, name), Extent(0, 0)
    self._file = self._descriptor = None

  def open(self, wall_time):
    """Makes the file, with the event that each begins with."""
    # TensorFlow alone would follow a link.
    self._descriptor = run_files.opened(self.path, new=True)
    self._file = tf.io.TFRecordWriter(self.path)
    version = "brain.Event:2"
    self._write(event_pb2.Event(wall_time=wall_time, file_version=version))

  def scalars(self, wall_time, step, values):
    """One event with all of {tag: float} at a step."""
    summary = summary_pb2.Summary()
    for tag, value in values.items():
      summary.value.add(tag=tag, simple_value=value)
    event = event_pb2.Event(wall_time=wall_time, step=step, summary=summary)
    self._write(event)

  def table(self, times, steps, tags, table):
    """One event a row of a float32 table; without momentum if it has none."""
    tags, table = row_encoding.without(MOMENTUM, tags, table)
    for event in row_encoding.encode(times, steps, tags, table):
      self._file.write(event)

  def _write(self, event):
    self._file.write(event.SerializeToString())

  def summary(self, wall_time, step, summary):
    """One event with a plugin's summary, bytes; see `plugin_summaries`."""
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

  def reached(self):
    """The `Extent` of what was flushed; reads only what came since the last.

    Raises:
      VanishedError: if the file was removed or replaced.
    """
    if not is_same(self._descriptor, self.path):
      vanished(self.path)
    return extend(self._descriptor, self.settled)

  def settle(self, extent):
    """Makes an `Extent` that it has reached the one to go back to."""
    self.settled = extent

  def close(self):
    """Closes the file."""
    self._file.close()
    os.close(self._descriptor)

  def abandon(self):
    """Closes the file as it was when it settled last, or removes it.

    Raises:
      OSError: if that fails; it may be called again.
    """
    file, self._file = self._file, None
    if file is not None:
      with contextlib.suppress(tf.errors.OpError):
        file.close()
    if self._descriptor is None:
      return
    if self.settled.size:
      os.ftruncate(self._descriptor, self.settled.size)
    elif is_same(self._descriptor, self.path):
      run_files.remove(self.path)
    os.close(self._descriptor)
    self._descriptor = None


def _newest_name(folder):
  """A name that sorts after those of the event files in a folder: TensorBoard
  reads them in the order of their names, whatever the clock said."""
  found = (
    re.match(r"events\.out\.tfevents\.(\d+)\.", name)
    for name in os.listdir(folder)
  )
  newest = max((int(match[1]) for match in found if match), default=0)
  seconds = f"{max(int(time.time()), newest + 1):010d}"
  host, pid, exact = socket.gethostname(), os.getpid(), f"{time.time_ns():019d}"
  return f"events.out.tfevents.{seconds}.{host}.{pid}.{exact}"


def tagged(layout):
  """Positions of the columns of a row that are a series.

  Args:
    layout: the `Layout` of the run's rows.
  """
  return [i for i in range(layout.width) if i != rows.SKIPPED]


def tags(layout):
  """Their tags, in the same order."""
  names = [layout.names[i] for i in tagged(layout)]
  return tuple(n if n in _RESULTS else tag_of(n) for n in names)


def tag_of(name):
  """The tag of a further column: a hyperparameter, or one of several losses."""
  return name if name.startswith("loss/") else f"hyperparameters/{name}"


def plan(outline):
  """(tags, float32 table) of a planned `Outline`."""
  none = np.full_like(outline.rates, np.nan)
  momenta = none if outline.momenta is None else outline.momenta
  columns = [outline.rates, momenta, *outline.others.values()]
  further = map(tag_of, outline.others)
  return (LEARNING_RATE, MOMENTUM, *further), np.stack(columns, axis=1)


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
  os.makedirs(folder, exist_ok=True)
  run_files.check(folder, folder=True)
  run = EventFile(folder, dry)
  run.open(float(times[0]) if len(times) else time.time())
  run.table(times, steps, tags, table)
  run.close()


def sizes(workdir):
  """{path below workdir: bytes} of all event files of a run."""
  paths = run_names.events(workdir)
  return {path: os.path.getsize(os.path.join(workdir, path)) for path in paths}


def cut(workdir, lengths):
  """Takes event files back to the sizes they had; others are removed.

  What was written later goes, and with it a record torn by a kill. The cost
  does not grow with the length of the run.

  Args:
    workdir: the run's folder.
    lengths: {path below workdir: bytes}, from `sizes`.

  Returns:
    The paths of files that are shorter than they were, or gone.
  """
  present = sizes(workdir)
  for path, size in present.items():
    full = os.path.join(workdir, path)
    if path not in lengths:
      run_files.remove(full)
    elif size > lengths[path]:
      run_files.cut(full, lengths[path])
  return sorted(p for p, size in lengths.items() if present.get(p, 0) < size)
