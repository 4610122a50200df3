"""Batches of a dataset for XLA: read ahead, and staged in stretches."""

import io
import struct

import numpy as np
import tensorflow as tf

from trainloop.data import counting, iterator_state, staging, structures

# Longer ones would only make the first update wait: at this length a window's
# own cost is below a tenth of the smallest model's updates.
MOST_STEPS = 256
_HEAD = struct.Struct("<qq")  # the stretch, bytes of the iterator


class ReadAhead:
  """Batches one after another, in stretches of a fixed size.

  While the device works on one stretch, tf.data makes the next.

  Args:
    dataset: all batches from the fit's first step to its last; all of one
      shape.
    first: step of the run that the first of them is for.
    stretch: batches that are read and staged together, int >= 1.
    room: how many the staged tensors have room for, >= `stretch`.
    at: the step to begin with; batches before it are skipped.
    place: bytes of `position` to go on from, b"" for the dataset's start; not
      used if it was saved with another `stretch`.
  """

  def __init__(self, dataset, first, stretch, room, at, place=b""):
    self._stretch, self._room, self._staged = stretch, room, None
    self._end = self.at = at  # steps: behind the present stretch, and next
    self._length = 0
    self._dataset, self._skipped = dataset, at - first
    if place and _HEAD.unpack_from(place)[0] == stretch:
      self._unpack(place)
      self._pass_over(at)
    else:
      self._iterator = self._new(at - first)

  def _new(self, skipped):
    """Only one is made: another, unread, would move the dataset's seeds."""
    batches = iterator_state.skipping(self._dataset, skipped)
    return iter(batches.batch(self._stretch).prefetch(1))

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
      self._stage(structures.triple(batches))
    if count > self.left:  # what is behind it is no batch
      counting.no_more("data")
    first = self._length - self.left
    self.at += count
    return self._staged, np.arange(first, first + count, dtype=np.int32)

  def position(self, at, draws):
    """The place before step `at`, as bytes: the iterator's state, and the
    batches that it has given already; b"" and None as `iterator_state.pack`.

    Args:
      at: a step inside the present stretch, or its end.
      draws: see `iterator_state.pack`.
    """
    place = iterator_state.Place(self._iterator, at, self._skipped)
    packed = iterator_state.pack(place, draws)
    if not packed:
      return packed
    first, leaves = self._length - (self._end - at), []
    if self._staged is not None:
      leaves = structures.leaves(self._staged)
    file = io.BytesIO()
    np.savez(file, *(a[first : self._length].numpy() for a in leaves))
    head = _HEAD.pack(self._stretch, len(packed))
    return head + packed + file.getvalue()

  def _unpack(self, place):
    """Goes to where `position` was called."""
    _, size = _HEAD.unpack_from(place)
    start = _HEAD.size
    packed, rest = place[start : start + size], place[start + size :]
    place = iterator_state.unpack(self._new, packed)
    self._iterator, self.at, self._skipped = place
    self._end = self.at
    with np.load(io.BytesIO(rest)) as file:
      leaves = [tf.constant(file[name]) for name in file.files]
    if leaves and len(leaves[0]):
      spec = self._iterator.element_spec
      self._stage(structures.pack(structures.triple(spec), leaves))

  def _pass_over(self, at):
    """Reads batches and throws them away, up to step `at`."""
    while self.at < at:
      self.take(min(self.left or self._stretch, at - self.at))

  def _stage(self, batches):
    self._length = structures.leaves(batches)[0].shape[0]
    self._end = self.at + self._length
    self._staged = staging.padded(batches, self._room)
