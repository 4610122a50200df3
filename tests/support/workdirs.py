"""What a run left in its workdir, as TensorBoard or a user reads it."""

import hashlib

import numpy as np
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.util import tensor_util

from trainloop.workdir import speed

RUNS = ("train", "validation", "plan")


def accumulator(folder, **sizes):
  """TensorBoard's reader of a run's folder, after it has read."""
  reader = event_accumulator.EventAccumulator(str(folder), size_guidance=sizes)
  reader.Reload()
  return reader


def scalars(folder):
  """{tag: (steps, float32 values)} of a run; not those of the clock."""
  reader = accumulator(folder, scalars=0)
  result = {}
  for tag in reader.Tags()["scalars"]:
    if tag in speed.TAGS:
      continue
    points = reader.Scalars(tag)
    values = np.array([p.value for p in points], np.float32)
    result[tag] = ([p.step for p in points], values)
  return result


def series(workdir):
  """{(run, tag): (steps, bytes of the values)} of all scalars."""
  return {
    (run, tag): (steps, values.tobytes())
    for run in RUNS
    if (workdir / run).is_dir()
    for tag, (steps, values) in scalars(workdir / run).items()
  }


def histograms(folder):
  """{tag: {step: table}} of a run's histograms."""
  reader = accumulator(folder, tensors=0)
  return {
    tag: {
      point.step: tensor_util.make_ndarray(point.tensor_proto)
      for point in reader.Tensors(tag)
    }
    for tag in reader.Tags()["tensors"]
    if tag.startswith(("weights/", "gradients/"))
  }


def files(workdir):
  """{name: hash} of every file below a folder."""
  return {
    str(path.relative_to(workdir)): hashlib.sha256(
      path.read_bytes()
    ).hexdigest()
    for path in sorted(workdir.rglob("*"))
    if path.is_file()
  }
