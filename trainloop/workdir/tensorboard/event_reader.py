"""Reads back the scalars of a run's event files, without TensorBoard."""

import array
import glob
import os

import numpy as np
import tensorflow as tf
from tensorboard.compat.proto import event_pb2

from trainloop.workdir import run_names

_BLOCK = 4096  # records at a time


def scalars(workdir):
  """All scalars of a run.

  Args:
    workdir: the run's folder; also while it is being written.

  Returns:
    {run: {tag: (steps, values)}}: int64 and float32 arrays in the order in
    which they were written; {} if there are no event files.
  """
  found = {}
  for path in sorted(glob.glob(os.path.join(workdir, "*", "events.out.*"))):
    run = os.path.basename(os.path.dirname(path))
    tags = found.setdefault(run, {})
    for event in _events(path):
      for value in event.summary.value:
        if value.HasField("simple_value"):
          points = tags.setdefault(
            value.tag, (array.array("q"), array.array("f"))
          )
          points[0].append(event.step)
          points[1].append(value.simple_value)
  return {
    run: {
      tag: (np.array(steps, np.int64), np.array(values, np.float32))
      for tag, (steps, values) in tags.items()
    }
    for run, tags in found.items()
  }


def of_lost_run(workdir, begun):
  """An event file of a run whose checkpoints are gone; None without one.

  Args:
    workdir: a folder without checkpoints.
    begun: whether a row journal is there. Then a run may have been killed
      before its first checkpoint, which comes before its first update.
  """
  paths = run_names.events(workdir)
  found = [path for path in paths if not run_names.is_dry(path)]
  # A run without a checkpoint has events, but none of an update.
  if not found or (begun and not scalars(workdir).get("train")):
    return None
  return found[0]


def _events(path):
  """The events of a file, up to a record that is not whole yet."""
  dataset = tf.data.TFRecordDataset(path).ignore_errors(log_warning=False)
  for block in dataset.batch(_BLOCK).as_numpy_iterator():
    for record in block:
      yield event_pb2.Event.FromString(record)
