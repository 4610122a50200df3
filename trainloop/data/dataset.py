"""A user's batched tf.data.Dataset as the loop sees it."""

import copy
import struct
import sys

import numpy as np
import tensorflow as tf

from kernels import checks
from trainloop.base.durations import MOST_UPDATES
from trainloop.data import (
  counting,
  dataset_graph,
  elements,
  feeds,
  iterator_state,
  staging,
  structures,
)
from trainloop.data.protocol import Described, Staged, Stream
from trainloop.data.read_ahead import MOST_STEPS, ReadAhead

_AT = struct.Struct("<q")


class DatasetData:
  """A user's batched `tf.data.Dataset` as the loop sees it.

  One iterator reads it over and over, in the graph engine batch by batch, in
  XLA in stretches that are read ahead. A checkpoint holds the last place at
  which its saved state was proven to give all later batches, and a fit that
  goes on reads on from there. TensorFlow loses the seeds of a shuffle that is
  read to its end, as at most epochs' ends, and can't save a generator, a Python
  function or a stateful random op: where no place was proven, the batches
  before are skipped, one by one from the fit's first epoch. An order without a
  seed is exact to the end of the present epoch.

  A dataset of unknown length is counted in one pass before step 1, unless
  `steps_per_epoch` is given; then an epoch is that many batches.

  Args:
    dataset: yields x, (x,), (x, y) or (x, y, sample_weight), batched.
    steps_per_epoch: int >= 1, or None for the dataset's own length.
    name: argument name, for errors.
    feed: the `Feed` that the dataset is a pass of, or None.

  Raises:
    ValueError: if the dataset is not batched, is empty, or is infinite
      while `steps_per_epoch` is None.
  """

  identity = {"num_examples": None}
  arrays = num_examples = None

  def __init__(self, dataset, steps_per_epoch=None, name="data", feed=None):
    if not isinstance(dataset.element_spec, tuple):
      dataset = dataset.map(lambda x: (x,))
    if len(dataset.element_spec) not in (1, 2, 3):
      rule = "a dataset of x, (x, y) or (x, y, sample_weight)"
      checks.fail(name, dataset.element_spec, rule)
    _check_ranks(name, dataset.element_spec)
    self.length = int(dataset.cardinality())  # as it says; below 0 if not
    self.endless = steps_per_epoch is not None
    self._counted = None  # checksum of the first batch, as it was counted
    if self.endless:
      steps = checks.integer(
        "steps_per_epoch", steps_per_epoch, 1, MOST_UPDATES
      )
      dataset = dataset.repeat()
    else:
      with feeds.own_errors(feed):
        steps = counting.length(name, dataset, self._observe)
    self.steps_per_epoch = steps
    self.dataset = dataset
    self._name, self._first, self._memory = name, None, None
    self._stretch = self._room = 0
    self._feed, self._looks = feed, False
    self._place, self._opaque = b"", feed is not None
    self._iterator = self._next = self._stream = self._steps = None
    self._origin = self._skipped = 0
    self._proven, self._draws = b"", None

  def _observe(self, batch):
    self._counted = structures.checksum(structures.triple(batch))

  @property
  def example(self):
    """(x, y, sample_weight) of the first batch, as tensors."""
    if self._first is None:
      first = self._feed and self._feed.first
      if first is None:
        with self.named_errors():
          first = counting.first(self._name, self.dataset)
      self._first = structures.triple(structures.tensors(first))
      elements.check_counts(self._name, self._first)
    return self._first

  def named_errors(self):
    """A context in which what a Python object raises is raised as it is."""
    return feeds.own_errors(self._feed)

  @property
  def targets(self):
    """The first batch's targets, for checks."""
    return self.example[1]

  @property
  def fixed_batches(self):
    """Whether all batches are known to have one shape."""
    leaves = structures.leaves(self.dataset.element_spec)
    return all(
      isinstance(leaf, tf.TensorSpec) and leaf.shape.is_fully_defined()
      for leaf in leaves
    )

  @property
  def batch_size(self):
    """Examples of the first batch; with `fixed_batches`, of every one."""
    size = structures.leaves(self.dataset.element_spec)[0].shape[0]
    return size or int(structures.examples(self.example))

  def checksum(self):
    """What tells it from other data: how it is made, constants and all; where
    TensorFlow can't say that, its first batch."""
    return dataset_graph.checksum(self.dataset) or structures.checksum(
      self.example
    )

  def described(self):
    """See `protocol.Source`."""
    return Described(self.dataset, self._counted)

  def has_partial_batch(self, evaluates):
    """See `protocol.Source`: not known of any."""
    del evaluates
    return False

  def place(self, jit, memory):
    """See `protocol.Source`: XLA takes stretches of batches of one shape."""
    self._memory = memory if jit and self.fixed_batches else None

  @property
  def most_steps(self):
    """Most steps of a window."""
    if self._memory is None:
      return sys.maxsize
    most = self._memory.steps(staging.size_of(self.dataset.element_spec))
    return min(most, MOST_STEPS)

  def stage(self, steps, room):
    """See `protocol.Source`."""
    if (steps, room) != (self._stretch, self._room):
      self._stretch, self._room, self._stream = steps, room, None

  @property
  def crosses(self):
    """Whether a window may cross an epoch's end."""
    return self.endless or self._memory is not None

  def cut(self, first):
    """See `protocol.Source`."""
    if self._memory is not None:
      self._go_on(first)
      return self._left(first) or self._stretch
    return sys.maxsize if self.endless else self.steps_per_epoch - first

  def _go_on(self, first):
    """Reads on where a fit was left: what is left of a stretch is shorter."""
    if self._stream is None and self._place:
      (at,) = _AT.unpack_from(self._place)
      if at % self.steps_per_epoch == first:
        self._stream = self._read_ahead(at)

  def _left(self, first):
    """Batches that the present stretch has from step `first` of an epoch."""
    stream = self._stream
    goes_on = stream is not None and stream.at % self.steps_per_epoch == first
    return stream.left if goes_on else 0

  def begin(self, first_epoch, place=b"", epochs=None):
    """See `protocol.Source`: passes begin at the fit's first epoch."""
    self._origin = 0 if self.endless else first_epoch * self.steps_per_epoch
    self._place, self._iterator, self._stream = place, None, None
    self._proven = b""
    if self._feed is not None and not self._looks:
      self._feed.begin(first_epoch * self.steps_per_epoch, self.steps_per_epoch)
    if epochs is not None:
      self._steps = (first_epoch + epochs) * self.steps_per_epoch - self._origin

  def training(self, strategy, epoch, first, count):
    """See `protocol.Source`: a `Stream`; for XLA `Staged`."""
    del strategy  # every worker reads all; replicas take shares in graph
    at = epoch * self.steps_per_epoch + first
    if self._memory is not None:
      if self._stream is None or self._stream.at != at:
        self._stream = self._read_ahead(at)
      return Staged(*self._stream.take(count))
    if self._iterator is None or at != self._next:
      self._iterator = self._start(at)
    self._next = at + count
    return Stream(self._iterator, count)

  def no_batches(self, room):
    """See `protocol.Source`."""
    spec = structures.triple(self.dataset.element_spec)
    stretch = structures.map_leaves(
      lambda leaf: tf.zeros([room, *leaf.shape], leaf.dtype), spec
    )
    return Staged(stretch, np.zeros(0, np.int32))

  def _start(self, at):
    """An iterator that gives the batch of step `at` next."""
    if self._feed is not None and not self._looks:
      return iter(self._feed.stream(at))
    content, self._skipped = self._proven_place(at), at - self._origin
    if not content:
      return self._new(self._skipped)
    iterator, step, self._skipped = iterator_state.unpack(self._new, content)
    for _ in range(step, at):
      next(iterator)
    return iterator

  def _new(self, skipped):
    return iter(iterator_state.skipping(self._passes(), skipped))

  def _read_ahead(self, at):
    """A `ReadAhead` that gives the batch of step `at` next."""
    whole, place = self._passes(), self._proven_place(at)
    if self._steps is not None:
      whole = whole.take(self._steps)
    return ReadAhead(whole, self._origin, self._stretch, self._room, at, place)

  def _proven_place(self, at):
    """The proven place to read on from to step `at`; b"" if there is none."""
    content, self._place = self._place, b""
    if not content or _AT.unpack_from(content)[0] != at:
      return b""
    self._proven = content[_AT.size :]
    return self._proven

  def _passes(self):
    return self.dataset if self.endless else self.dataset.repeat()

  def position(self, epoch, first):
    """See `protocol.Source`."""
    if self._opaque:
      return b""
    if self._iterator is None and self._stream is None:
      return self._place  # nothing was read yet
    at = epoch * self.steps_per_epoch + first
    if self._draws is None:
      self._draws = dataset_graph.draws(self.dataset)
    if self._stream is not None:
      place = self._stream.position(at, self._draws)
    else:
      place = iterator_state.Place(self._iterator, at, self._skipped)
      place = iterator_state.pack(place, self._draws)
    self._opaque = place == b""
    self._proven = self._proven if place is None else place
    return self._proven and _AT.pack(at) + self._proven

  def evaluation(self, strategy):
    """See `protocol.Source`: a fresh pass; to its end if not `endless`."""
    del strategy
    most = self.steps_per_epoch if self.endless else tf.int32.max
    return [Stream(iter(self.dataset), most)]

  def batches(self, most):
    """A fresh pass over the first batches, an iterator."""
    count = min(most, self.steps_per_epoch) if self.endless else most
    return map(structures.triple, self.dataset.take(count))

  def again(self):
    """See `protocol.Source`."""
    other = copy.copy(self)
    other._looks = True  # of a `Feed` what it reads comes again
    other._iterator = other._next = other._stream = None
    return other


def _check_ranks(name, spec):
  """Refuses tensors of unknown rank: no model can be made for them."""
  for leaf in tf.nest.flatten(spec):
    shape = getattr(leaf, "shape", None)
    if isinstance(leaf, tf.TensorSpec) and shape.rank is None:
      line = "dataset.map(lambda x, y: (tf.ensure_shape(x, [None, 3]), ...))"
      checks.fail(name, leaf, f"of tensors of known rank, as {line} makes them")
    if isinstance(leaf, tf.TensorSpec) and shape.rank == 0:
      checks.fail(name, leaf, "batched, as dataset.batch(32) makes it")
