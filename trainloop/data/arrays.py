"""Examples in memory, batched and shuffled without state.

The batch of a step is a pure function of (seed, epoch, step in the epoch), so
a resumed run needs no iterator state and starts anywhere at no cost.
"""

import copy
import sys
import zlib

import numpy as np
import tensorflow as tf

from kernels import checks
from trainloop.data import array_passes, shuffle, splits, staging, structures
from trainloop.data.labels import labels_of
from trainloop.data.protocol import Resident, Staged


class ArrayData:
  """Examples in memory, batched and shuffled without state.

  Epoch e reads the permutation `shuffle(., (seed, e), examples)`.
  Used for evaluation the order is that of the arrays and every example counts.

  Args:
    x: inputs: an array of shape (examples, ...), a pandas.DataFrame of numbers,
      a scipy.sparse matrix, which becomes dense, or text; or a dict, list or
      tuple of them. float64 becomes float32.
    y: targets, likewise; None for models that bring their own loss.
    sample_weight: weight of each example, shape (examples,), or None.
    batch_size: examples of one update, over all replicas; int >= 1.
    seed: int >= 0 that the order depends on.
    shuffle: False keeps the order of the arrays in every epoch.
    drop_remainder: whether training leaves out the last partial batch of each
      epoch, which the summary says; evaluation never does.

  Raises:
    ValueError: if the arrays are empty, differ in length, hold NaN or
      infinity or no numbers, or an argument breaks its rule.

  >>> data = trainloop.ArrayData(np.eye(10), range(10), batch_size=4)
  >>> data.num_examples, data.batch_size, data.steps_per_epoch
  (10, 4, 2)
  """

  def __init__(
    self,
    x,
    y=None,
    sample_weight=None,
    *,
    batch_size,
    seed=0,
    shuffle=True,
    drop_remainder=True,
  ):
    self.batch_size = checks.integer("batch_size", batch_size, 1)
    self.seed = checks.integer("seed", seed, 0, 2**63 - 1)
    self.shuffle = checks.boolean("shuffle", shuffle)
    self.drop_remainder = checks.boolean("drop_remainder", drop_remainder)
    self.arrays = (
      structures.arrays("x", x),
      structures.arrays("y", y),
      structures.arrays("sample_weight", sample_weight),
    )
    self.num_examples = self._check_lengths()
    self._resident = self._chunks = self._crc32 = self._memory = None
    self._room, self._fixed = 1, False

  def _check_lengths(self):
    leaves = structures.leaves(self.arrays[0])
    if not leaves:
      checks.fail("x", self.arrays[0], "at least one array")
    count = len(leaves[0])
    if count == 0:
      checks.fail("x", leaves[0].shape, "of at least one example")
    names = ("x", "y", "sample_weight")
    for name, part in zip(names, self.arrays, strict=True):
      for array in structures.leaves(part):
        if len(array) != count:
          rule = f"of {count} examples, as `x` is"
          checks.fail(name, f"{len(array)} examples", rule)
    weight, y = self.arrays[2], self.arrays[1]
    single = hasattr(weight, "shape") and hasattr(y, "shape")
    if single and weight.shape not in ((count,), (count, 1), y.shape[:2]):
      rule = f"of shape ({count},), one weight an example"
      checks.fail("sample_weight", weight.shape, rule)
    if hasattr(weight, "shape") and not weight.any():
      checks.fail("sample_weight", 0.0, "above 0 for some example: all are")
    return count

  @property
  def steps_per_epoch(self):
    """Updates of one epoch of training."""
    if self.drop_remainder:
      return self.num_examples // self.batch_size
    return -(-self.num_examples // self.batch_size)

  @property
  def example(self):
    """(x, y, sample_weight) of the first batch of the arrays, NumPy."""
    return structures.part(self.arrays, 0, self.batch_size)

  @property
  def identity(self):
    """What makes the order of the examples, as JSON types."""
    return {
      "num_examples": self.num_examples,
      "batch_size": self.batch_size,
      "data_seed": self.seed,
      "shuffle": self.shuffle,
      "data_crc32": self._checksum(),
    }

  def checksum(self):
    """What tells these examples from others, whatever batches they are in."""
    leaves = structures.leaves(self.arrays)
    shapes = repr([(leaf.shape, leaf.dtype.str) for leaf in leaves])
    return zlib.crc32(shapes.encode(), self._checksum())

  def _checksum(self):
    """Of the bytes of all arrays; 1 GB takes about half a second, once."""
    if self._crc32 is None:
      self._crc32 = 0
      for array in structures.leaves(self.arrays):
        array = np.ascontiguousarray(array)
        self._crc32 = zlib.crc32(array.view(np.uint8), self._crc32)
    return self._crc32

  def described(self):
    """See `protocol.Source`: the identity has a checksum of all examples."""

  def again(self):
    """See `protocol.Source`; there is no state to leave alone."""
    return self

  @property
  def targets(self):
    """All targets, for checks; None without."""
    return self.arrays[1]

  def place(self, jit, memory):
    """See `protocol.Source`: arrays that fit stand on the device whole."""
    self._fixed = jit
    streams = not memory.holds(staging.size_of(self.arrays))
    self._memory = memory if streams else None
    if streams:
      self._resident = self._chunks = None

  @property
  def most_steps(self):
    """Most steps of a window: its indices take at most 2 MB, which each call
    copies, and its batches what may be staged if they are not on the device."""
    steps = max(1, 2**19 // self.batch_size)
    if self._memory is None:
      return steps
    return min(steps, self._memory.steps(self.batch_bytes))

  @property
  def batch_bytes(self):
    """Bytes of one batch."""
    return staging.size_of(self.arrays) / self.num_examples * self.batch_size

  def stage(self, steps, room):
    """See `protocol.Source`."""
    del steps
    self._room = room

  @property
  def crosses(self):
    """Whether a window may cross an epoch's end: without partial batches."""
    return not self.has_partial_batch(evaluates=False)

  def has_partial_batch(self, evaluates):
    """See `protocol.Source`."""
    drops = self.drop_remainder and not evaluates
    return not drops and self.num_examples % self.batch_size != 0

  def cut(self, first):
    """See `protocol.Source`.

    The partial last batch has another size and goes alone.
    """
    if self.crosses:
      return sys.maxsize
    whole = self.num_examples // self.batch_size
    return whole - first if first < whole else 1

  def begin(self, first_epoch, place=b"", epochs=None):
    """See `protocol.Source`; the order is a function of the update alone."""

  def position(self, epoch, first):
    """See `protocol.Source`: any update can be begun at."""
    del epoch, first
    return b""

  # Every batch but an epoch's last has the same shape.
  fixed_batches = True

  def training(self, strategy, epoch, first, count):
    """See `protocol.Source`: `Resident`, or `Staged` if not on the device."""
    del strategy  # replicas take their shares in graph
    blocks, done = [], 0
    while done < count:
      n = min(count - done, self.steps_per_epoch - first)
      blocks.append(self._indices(epoch, first, n))
      epoch, first, done = epoch + 1, 0, done + n
    indices = np.concatenate(blocks)
    if self._memory is None:
      return Resident(self._tensors(), indices)
    whole = self._fixed and indices.shape[1] == self.batch_size
    steps = self._room if whole else count
    staged = staging.stretch(self.arrays, indices, steps)
    return Staged(staged, np.arange(count, dtype=np.int32))

  def no_batches(self, room):
    """See `protocol.Source`."""
    size = min(self.batch_size, self.num_examples)
    indices = np.zeros((0, size), np.int32)
    if self._memory is None:
      return Resident(self._tensors(), indices)
    staged = staging.stretch(self.arrays, indices, room)
    return Staged(staged, np.zeros(0, np.int32))

  def _indices(self, epoch, first, count):
    """int32 (count, batch): examples of some steps of an epoch."""
    start = first * self.batch_size
    stop = min(start + count * self.batch_size, self.num_examples)
    index = np.arange(start, stop, dtype=np.int64)
    if self.shuffle:
      index = shuffle.shuffle(index, (self.seed, epoch), self.num_examples)
    return index.astype(np.int32).reshape(count, -1)

  def batch(self, index):
    """One batch in the order of the arrays, as an `ArrayData` of its own, which
    stands on the device.

    Args:
      index: which, int >= 0; behind the last the first comes again. A partial
        last batch is not among them, unless there is no other.
    """
    size = min(self.batch_size, self.num_examples)
    first = index % (self.num_examples // size) * size
    return self._with(structures.part(self.arrays, first, first + size), size)

  def split(self, fraction, *, seed=None, stratify=False):
    """Holds examples out.

    Args:
      fraction: of them, in (0, 1).
      seed: int >= 0 that draws them; None for the last ones, as Keras'
        `validation_split`.
      stratify: whether that holds of each class of `y`, labels or one-hot.

    Returns:
      (ArrayData of the others, ArrayData of those held out), each with the
      options of this one.

    Raises:
      ValueError: if an argument breaks its rule or one part would be empty.

    >>> data = trainloop.ArrayData(np.eye(10), range(10), batch_size=4)
    >>> train, valid = data.split(0.2)
    >>> valid.arrays[1].tolist()
    [8, 9]
    """
    checks.boolean("stratify", stratify)
    labels = labels_of("stratify", self.arrays[1]) if stratify else None
    parts = splits.indices(self.num_examples, fraction, seed, labels)
    return tuple(map(self._of, parts))

  def _of(self, indices):
    return self._with(
      structures.map_leaves(lambda array: array[indices], self.arrays)
    )

  def weighted(self, sample_weight):
    """The same with these weights of examples, float32 (examples,)."""
    return self._with((*self.arrays[:2], sample_weight))

  def _with(self, arrays, batch_size=None):
    """The same with other arrays, which nobody has copied or counted yet."""
    one = copy.copy(self)
    one.arrays, one.batch_size = arrays, batch_size or self.batch_size
    one.num_examples = len(structures.leaves(arrays[0])[0])
    one._resident = one._chunks = one._crc32 = one._memory = None
    return one

  def evaluation(self, strategy):
    """See `protocol.Source`: in the order of the arrays.

    A partial last batch is a part of its own. Arrays that are not on the device
    are read as a dataset.
    """
    if self._memory is not None:
      stream = array_passes.streamed(self.arrays, *self._extent)
      return stream.evaluation(strategy)
    if self._fixed and self._chunks is None:
      room = staging.chunk(self.batch_bytes)
      self._chunks = array_passes.staged(self.arrays, *self._extent, room)
    return self._chunks or array_passes.resident(self._tensors(), *self._extent)

  @property
  def _extent(self):
    return self.num_examples, self.batch_size

  def _tensors(self):
    """(x, y, sample_weight) as tensors on the device, copied once."""
    if self._resident is None:
      self._resident = structures.map_leaves(tf.constant, self.arrays)
    return self._resident
