"""A small store of checkpoints whose variables follow from a number."""

from concurrent import futures

import numpy as np
import tensorflow as tf

from trainloop.workdir.checkpoints import store as checkpoints


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


def nothing(fits):
  """Accepts any fits."""


def store(workdir, groups, **options):
  opened = checkpoints.RunStore(str(workdir), groups, **options)
  opened.open(nothing)
  return opened


def written():
  """The sizes of no event files, there already."""
  future = futures.Future()
  future.set_result({})
  return future


def save(workdir, *seeds, **options):
  """Checkpoints of these states, one after another."""
  groups = variables(0)
  opened = store(workdir, groups, **options)
  opened.begin()
  for step, seed in enumerate(seeds, opened.step + 1):
    rest = tf.nest.flatten(variables(seed))
    for mine, theirs in zip(tf.nest.flatten(groups), rest, strict=True):
      mine.assign(theirs)
    opened.add_rows(np.full((1, 5), seed, np.float32))
    opened.save(step, written())
  opened.close()


def restored(workdir, tell=print):
  groups = variables(99)
  opened = store(workdir, groups, tell=tell)
  opened.close()
  return values(groups)
