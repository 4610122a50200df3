"""Batches of a dataset for XLA: read ahead, and staged in stretches."""

import io
import struct

import numpy as np
import tensorflow as tf

from trainloop import counting, iterators, staging, structures

# Longer ones would only make the first update wait: at this length a window's
# own cost is below a tenth of the smallest model's updates.
MOST_STEPS = 256
_SIZE = struct.Struct("<q")


class Stream:
  """Batches one after another, in stretches of a fixed size.

  While the device works on one stretch, tf.data makes the next.

  Args:
    dataset: all batches from the fit's first step to its last; all of one
      shape.
    first: step of the run that the first of them is for.
    stretch: batches that are staged together, int >= 1.
    at: the step to begin with; those before are read and thrown away, unless
    kept: what `position` gave at that step is known.
  """

  def __init__(self, dataset, first, stretch, at, kept=b""):
    self._stretch, self._staged = stretch, None
    self._end = self.at = at  # steps: behind the present stretch, and next
    self._length = 0
    self._iterator = None
    if kept:
      self._iterator = iter(self._batched(dataset))
      if self._unpack(kept, at):
        return
    # One that is not read from would still move the dataset's seeds.
    self._iterator = iter(self._batched(dataset.skip(at - first)))

  def _batched(self, dataset):
    return dataset.batch(self._stretch).prefetch(1)

  @property
  def left(self):
    """Batches that the present stretch still has, int; 0 for none."""
    return self._end - self.at

  def take(self, count):
    """(the staged stretch, int32 (count,): where the next batches stand)."""
    if not self.left:
      batches = next(self._iterator, None)
      if batches is None:
        counting.no_more("data")
      self._stage((*batches, None)[:3])
    if count > self.left:  # what is behind it is no batch
      counting.no_more("data")
    first = self._length - self.left
    self.at += count
    return self._staged, np.arange(first, first + count, dtype=np.int32)

  def position(self, at):
    """The place before step `at`, as bytes: the iterator's state, and the
    batches that it has given already; b"" where TensorFlow can't save it.

    Args:
      at: a step inside the present stretch, or its end.
    """
    packed = iterators.pack(self._iterator, at)
    if not packed:
      return b""
    first, leaves = self._length - (self._end - at), []
    if self._staged is not None:
      leaves = structures.leaves(self._staged)
    file = io.BytesIO()
    np.savez(file, *(a[first : self._length].numpy() for a in leaves))
    return _SIZE.pack(len(packed)) + packed + file.getvalue()

  def _unpack(self, kept, at):
    """Goes to where `position` was called; whether that could be done."""
    (size,) = _SIZE.unpack_from(kept)
    start = _SIZE.size
    packed, rest = kept[start : start + size], kept[start + size :]
    if not iterators.unpack(self._iterator, packed, at):
      return False
    with np.load(io.BytesIO(rest)) as file:
      leaves = [tf.constant(file[name]) for name in file.files]
    if leaves and len(leaves[0]):
      spec = self._iterator.element_spec
      self._stage(structures.pack((*spec, None)[:3], leaves))
    return True

  def _stage(self, batches):
    self._length = structures.leaves(batches)[0].shape[0]
    self._end = self.at + self._length
    self._staged = staging.padded(batches, self._stretch)
