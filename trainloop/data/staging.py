"""How much data stands on the device, and how much is on its way there."""

import dataclasses
import os

import numpy as np
import tensorflow as tf

from kernels import checks
from trainloop.data import structures

# Of the stretches of batches of a window: one in use, one that waits, and two
# that tf.data or NumPy is just making.
_STRETCHES = 4
_MB = 2**20
# A stretch is copied whole, however short its window is: 16 MB take some 5 ms.
_COPIED_MB, _COPIED_STEPS = 16, 16
# Of an evaluation: long enough that a call's own cost is a small part of it.
_CHUNK_MB, _CHUNK_STEPS = 4, 256


@dataclasses.dataclass(frozen=True)
class Memory:
  """Limits for data.

  Attributes:
    resident_mb: arrays up to this size are copied to the device once, number
      > 0; None for a quarter of what is free there when training starts.
    staging_mb: memory for the batches of windows when they are not, number
      > 0.

  Raises:
    ValueError: if an attribute breaks its rule.
  """

  resident_mb: float | None = None
  staging_mb: float = 256.0

  def __post_init__(self):
    if self.resident_mb is not None:
      checks.positive("resident_mb", self.resident_mb)
    checks.positive("staging_mb", self.staging_mb)

  def holds(self, size):
    """Whether `size` bytes may stand on the device."""
    if self.resident_mb is not None:
      return size <= self.resident_mb * _MB
    return size <= _free_bytes() / 4

  def steps(self, batch_bytes):
    """How many batches of a window may be staged, int >= 1."""
    batch_mb = max(1, batch_bytes) / _MB
    copied = max(_COPIED_STEPS, _COPIED_MB / batch_mb)
    return max(1, int(min(copied, self.staging_mb / _STRETCHES / batch_mb)))


def chunk(batch_bytes):
  """How many batches of an evaluation stand in one stretch, int >= 1.

  Args:
    batch_bytes: of one batch.
  """
  return max(1, min(_CHUNK_STEPS, int(_CHUNK_MB * _MB / max(1, batch_bytes))))


def size_of(batch):
  """Bytes of the arrays, or of the specs of known shape, in a structure."""
  return sum(
    int(np.prod(leaf.shape)) * tf.as_dtype(leaf.dtype).size
    for leaf in structures.leaves(batch)
  )


def stretch(arrays, indices, steps):
  """The batches of a window, copied together.

  Args:
    arrays: (x, y, sample_weight) of all examples, NumPy.
    indices: int (n, batch), the examples of each batch.
    steps: how many batches it has room for, >= n.

  Returns:
    The same structure of tensors (steps, batch, ...), the first n filled.
  """

  def take(array):
    room = np.zeros((steps, *indices.shape[1:], *array.shape[1:]), array.dtype)
    np.take(array, indices, axis=0, out=room[: len(indices)])
    return tf.constant(room)

  return structures.map_leaves(take, arrays)


def padded(batches, steps):
  """Tensors (n, ...) with zeros behind, to (steps, ...)."""

  def pad(tensor):
    missing = steps - tensor.shape[0]
    sizes = [[0, missing], *[[0, 0]] * (tensor.shape.rank - 1)]
    return tf.pad(tensor, sizes) if missing else tensor

  return structures.map_leaves(pad, batches)


def _free_bytes():
  """Free memory of the first GPU, or else of the host."""
  gpus = tf.config.list_logical_devices("GPU")
  free = _free_on(gpus[0].name) if gpus else None
  if free is None:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
  return free


def _free_on(gpu):
  """Free bytes of a GPU; None where TensorFlow tells nothing of it."""
  # No public call tells a GPU's size; this one is what `tf.test` reads.
  from tensorflow.python.client import device_lib

  limits = {d.name: d.memory_limit for d in device_lib.list_local_devices()}
  try:
    used = tf.config.experimental.get_memory_info(gpu)["current"]
  except ValueError:
    return None
  return limits[gpu] - used if gpu in limits else None
