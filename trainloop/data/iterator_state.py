"""Where a tf.data.Dataset is read: an iterator's position as bytes."""

import os
import struct
import tempfile
from typing import NamedTuple

import tensorflow as tf

from kernels import checks
from trainloop.data import dataset_graph

_NAMES = ("it.index", "it.data-00000-of-00001")
_HEAD = struct.Struct("<qqq")
# TensorFlow writes it for each iterator whose op draws the seeds of a pass; its
# own name, so a test notices when it changes (no state is proven then).
_SEEDS = b"epoch_num_random_samples"


def pack(place, draws=0):
  """An iterator's state as bytes, and where it stands.

  It holds what shuffle buffers hold, and costs as much. How many seeds an op
  has drawn is saved with its iterator, which is dropped at a pass's end: a
  state in which one is missing shuffles the later passes otherwise.

  Args:
    place: a `Place`; its iterator is of a `tf.data.Dataset`, not of a
      distributed one.
    draws: what `dataset_graph.draws` says of the dataset; states with fewer
      iterators of such ops are refused.

  Returns:
    bytes; b"" if TensorFlow can't save this iterator, as with a generator, a
    Python function, or an op that has state; None if this state is refused.
  """
  with tempfile.TemporaryDirectory() as folder:
    prefix = os.path.join(folder, "it")
    try:
      tf.train.Checkpoint(it=place.iterator).write(prefix)
    except dataset_graph.UNSUPPORTED:
      return b""
    parts = [_read(os.path.join(folder, name)) for name in _NAMES]
  if parts[1].count(_SEEDS) < draws:
    return None
  head = _HEAD.pack(place.step, place.skipped, len(parts[0]))
  return head + parts[0] + parts[1]


class Place(NamedTuple):
  """An iterator, and where it stands."""

  iterator: tf.data.Iterator
  step: int  # that it gives the batch of next
  skipped: int  # batches that its dataset leaves out before the first


def unpack(make, content):
  """An iterator where `pack` was called.

  Args:
    make: function of a number of batches: a new iterator of the same dataset,
      which skips so many.
    content: what `pack` gave.

  Returns:
    A `Place`.

  Raises:
    ValueError: if it is another dataset.
  """
  step, skipped, size = _HEAD.unpack_from(content)
  rest, iterator = content[_HEAD.size :], make(skipped)
  with tempfile.TemporaryDirectory() as folder:
    parts = (rest[:size], rest[size:])
    for name, part in zip(_NAMES, parts, strict=True):
      with open(os.path.join(folder, name), "wb") as file:
        file.write(part)
    checkpoint = tf.train.Checkpoint(it=iterator)
    try:
      checkpoint.read(os.path.join(folder, "it")).assert_consumed()
    except (tf.errors.OpError, AssertionError):
      line = "the dataset as it was, or another workdir"
      checks.fail("data", iterator.element_spec, f"{line}: its place is lost")
  return Place(iterator, step, skipped)


def skipping(dataset, count):
  """The dataset without its first batches; itself for 0 of them: TensorFlow
  restores an iterator only where the same transformations were saved."""
  return dataset.skip(count) if count else dataset


def _read(path):
  with open(path, "rb") as file:
    return file.read()
