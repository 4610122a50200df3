"""A small store of checkpoints whose variables follow from a number."""

from concurrent import futures

import numpy as np
import tensorflow as tf

from trainloop.model.rows import Layout
from trainloop.model.snapshot import Snapshot
from trainloop.workdir.checkpoints.saver import Saver
from trainloop.workdir.checkpoints.store import Store


def variables(seed):
  rng = np.random.default_rng(seed)
  return {
    "model": {
      name: tf.Variable(rng.normal(size=shape).astype(np.float32))
      for name, shape in {"kernel": (16, 8), "bias": (8,), "gain": ()}.items()
    },
    "state": {
      "step": tf.Variable(seed, dtype=tf.int64),
      "odd": tf.Variable(bool(seed % 2)),
    },
  }


def values(groups):
  return [v.numpy().tobytes() for v in tf.nest.flatten(groups)]


def store(workdir, groups, **options):
  """A `Store` that has restored what is there, and its `Saver`."""
  snapshot = Snapshot(groups)
  opened = Store(str(workdir), snapshot, Layout(), **options)
  opened.open()
  opened.restore_newest()
  return opened, Saver(opened, snapshot, options.get("tell", print))


def written():
  """The sizes of no event files, there already."""
  future = futures.Future()
  future.set_result({})
  return future


def save(workdir, *seeds, **options):
  """Checkpoints of these states, one after another."""
  groups = variables(0)
  opened, saver = store(workdir, groups, **options)
  opened.begin()
  for step, seed in enumerate(seeds, opened.newest.step + 1):
    rest = tf.nest.flatten(variables(seed))
    for mine, theirs in zip(tf.nest.flatten(groups), rest, strict=True):
      mine.assign(theirs)
    opened.journal.add(np.full((1, 5), seed, np.float32))
    saver.save(step, written())
  saver.close()
  opened.close()


def restored(workdir, tell=print):
  groups = variables(99)
  opened, _ = store(workdir, groups, tell=tell)
  opened.close()
  return values(groups)
