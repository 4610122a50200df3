"""A user's batched tf.data.Dataset as the loop sees it."""

import copy
import sys

import numpy as np
import tensorflow as tf

from kernels import checks
from trainloop import structures


class DatasetData:
  """A user's batched `tf.data.Dataset` as the loop sees it.

  Each epoch is a fresh pass over the dataset. A dataset of unknown length is
  counted in one pass before step 1, unless `steps_per_epoch` is given; then
  the dataset is repeated and an epoch is that many batches.

  Args:
    dataset: yields (x, y) or (x, y, sample_weight), batched.
    steps_per_epoch: int >= 1, or None for the dataset's own length.
    name: argument name, for errors.

  Raises:
    ValueError: if the dataset is not batched tuples, is empty, or is infinite
      while `steps_per_epoch` is None.
  """

  identity = {"num_examples": None}
  fixed_batches = False
  most_steps = sys.maxsize

  def __init__(self, dataset, steps_per_epoch=None, name="data"):
    spec = dataset.element_spec
    if not isinstance(spec, tuple) or len(spec) not in (2, 3):
      checks.fail("data", spec, "a dataset of (x, y[, sample_weight]) tuples")
    self.endless = steps_per_epoch is not None
    if self.endless:
      steps = checks.integer("steps_per_epoch", steps_per_epoch, 1)
      dataset = dataset.repeat()
    else:
      steps = _count(name, dataset)
    self.steps_per_epoch = steps
    self.dataset = dataset
    self._first = self._iterator = self._next = None

  @property
  def example(self):
    """(x, y, sample_weight) of the first batch, as tensors."""
    if self._first is None:
      first = next(iter(self.dataset))
      self._first = (*first, None)[:3]
    return self._first

  @property
  def batch_size(self):
    """Examples of the first batch, int."""
    return len(structures.leaves(self.example)[0])

  @property
  def targets(self):
    """The first batch's targets, for checks."""
    return self.example[1]

  @property
  def crosses(self):
    """Whether a window may cross an epoch's end."""
    return self.endless

  def cut(self, first):
    """Steps from step `first` of an epoch that may share a window."""
    return sys.maxsize if self.endless else self.steps_per_epoch - first

  def training(self, strategy, epoch, first, count):
    """As `ArrayData.training`: (iterator, any, n); a new pass at step 0.

    A fit that goes on inside an epoch skips the batches before, one by one.
    """
    at = epoch * self.steps_per_epoch + first
    if self.endless:
      first = at
    if at != self._next or (first == 0 and not self.endless):
      self._iterator = self._pass(strategy, skip=first)
    self._next = at + count
    return self._iterator, tf.zeros([1, 1], tf.int32), count

  def evaluation(self, strategy):
    """As `ArrayData.evaluation`: (iterator of a fresh pass, int32 n)."""
    return self._pass(strategy), tf.constant(self.steps_per_epoch)

  def again(self):
    """The same data, read from its start, which leaves this one alone."""
    other = copy.copy(self)
    other._iterator = other._next = None
    return other

  def _pass(self, strategy, skip=0):
    dataset = self.dataset.skip(skip) if skip else self.dataset
    if strategy.num_replicas_in_sync > 1:
      dataset = strategy.experimental_distribute_dataset(dataset)
    return iter(dataset)


def _count(name, dataset):
  count = int(dataset.cardinality())
  if count == tf.data.INFINITE_CARDINALITY:
    if name == "data":
      rule = "given, because the dataset is infinite"
      checks.fail("steps_per_epoch", None, rule)
    checks.fail(name, "an infinite dataset", "a dataset that ends")
  if count == tf.data.UNKNOWN_CARDINALITY:
    count = int(dataset.reduce(np.int64(0), lambda total, *_: total + 1))
  if count == 0:
    checks.fail(name, 0, "a dataset of at least one batch")
  return count
