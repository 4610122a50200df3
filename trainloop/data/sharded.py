"""Data of which each worker reads a part: files that no host could hold.

def read(context):
  files = tf.data.Dataset.list_files("train-*.tfrecord", shuffle=False)
  files = files.shard(context.num_input_pipelines, context.input_pipeline_id)
  examples = files.interleave(
      tf.data.TFRecordDataset, num_parallel_calls=2, deterministic=True
    )
  examples = examples.map(parse).shuffle(10_000, seed=0)
  return examples.batch(context.get_per_replica_batch_size(256))

loop.fit(trainloop.ShardedData(read, steps_per_epoch=1000), epochs=5)
"""

import copy
import sys

import tensorflow as tf

from kernels import callables, checks
from trainloop.base import user_errors
from trainloop.base.durations import MOST_UPDATES
from trainloop.data import counting, structures
from trainloop.data.protocol import Described, Stream


class ShardedData:
  """A dataset that each worker makes for itself.

  Training repeats it, and an epoch is `steps_per_epoch` global batches; each
  replica takes a batch of its worker's dataset for every one of them. In
  evaluation the dataset is read once: a worker whose part is at its end gives
  empty batches, so that every example counts exactly once.

  A fit that goes on inside an epoch reads the batches before again; the
  dataset must give the same order each time it is made.

  Args:
    read: function of a `tf.distribute.InputContext` that gives a
      `tf.data.Dataset` of (x, y[, sample_weight]), in batches of
      `context.get_per_replica_batch_size(global batch)`.
    steps_per_epoch: global batches of an epoch, int >= 1; in evaluation
      enough for the worker whose part is longest, what is beyond is not read.

  Raises:
    ValueError: if `read` is no function of that kind.
  """

  # Each worker reads for itself: what others have, nobody knows.
  arrays = num_examples = batch_size = None
  fixed_batches = False
  most_steps = sys.maxsize
  crosses = True  # a window may cross an epoch's end

  @callables.public
  @user_errors.translated
  def __init__(self, read, steps_per_epoch):
    context = tf.distribute.InputContext()
    rule = "a function of a tf.distribute.InputContext"
    callables.check("read", read, context, rule=rule)
    self._read = read
    self.steps_per_epoch = checks.integer(
      "steps_per_epoch", steps_per_epoch, 1, MOST_UPDATES
    )
    dataset = read(context)
    spec = getattr(dataset, "element_spec", None)
    if not isinstance(spec, tuple) or len(spec) not in (2, 3):
      rule = "a function that gives a dataset of (x, y[, sample_weight])"
      checks.fail("read", spec, rule)
    self.identity = {"num_examples": None, "sharded": True}
    # The same on all workers, and so are the checks on it.
    self.example = structures.triple(counting.first("read", dataset))
    self._iterator = self._next = None

  @property
  def targets(self):
    """The first batch's targets, for checks."""
    return self.example[1]

  def checksum(self):
    """What tells it from other data: its first batch, read as by one worker."""
    return structures.checksum(self.example)

  def described(self):
    """See `protocol.Source`."""
    return Described(self._read(tf.distribute.InputContext()), None)

  def has_partial_batch(self, evaluates):
    """See `protocol.Source`: not known of any."""
    del evaluates
    return False

  def place(self, jit, memory):
    """See `protocol.Source`: batches come one by one, whatever compiles."""

  def stage(self, steps, room):
    """See `protocol.Source`: nothing is staged."""

  def begin(self, first_epoch, place=b"", epochs=None):
    """See `protocol.Source`: the dataset is made anew."""
    del first_epoch, place, epochs
    self._iterator = self._next = None

  def position(self, epoch, first):
    """See `protocol.Source`: TensorFlow saves no distributed iterator."""
    del epoch, first
    return b""

  def cut(self, first):
    """See `protocol.Source`."""
    del first
    return sys.maxsize

  def training(self, strategy, epoch, first, count):
    """See `protocol.Source`: a `Stream`."""
    at = epoch * self.steps_per_epoch + first
    if at != self._next:
      self._iterator = self._pass(strategy, skip=at)
    self._next = at + count
    return Stream(self._iterator, count)

  def no_batches(self, room):
    """See `protocol.Source`: XLA never reads it."""

  def evaluation(self, strategy):
    """See `protocol.Source`: a fresh pass."""
    return [Stream(self._pass(strategy), self.steps_per_epoch)]

  def again(self):
    """See `protocol.Source`."""
    other = copy.copy(self)
    other._iterator = other._next = None
    return other

  def _pass(self, strategy, skip=None):
    def read(context):
      dataset = self._read(context)
      if skip is None:
        return dataset.concatenate(_nothing(dataset.element_spec))
      pipelines = context.num_input_pipelines
      local = context.num_replicas_in_sync // pipelines
      return dataset.repeat().skip(skip * local)

    return iter(strategy.distribute_datasets_from_function(read))


def _nothing(spec):
  """A dataset of empty batches, without end."""
  for leaf in tf.nest.flatten(spec):
    if leaf.shape.rank is None or leaf.shape[0] is not None:
      rule = "in batches without drop_remainder, to be evaluated"
      checks.fail("read", leaf.shape, rule)
  empty = tf.nest.map_structure(structures.empty, spec)
  return tf.data.Dataset.from_tensors(empty).repeat()
