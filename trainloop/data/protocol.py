"""What a data source has for the loop, and the three ways it gives batches.

`ArrayData`, `DatasetData` and `ShardedData` have every member, so no caller
tests for one. Two callers test the class: `batch_errors`, which reads datasets
again, and a sweep, which takes an `ArrayData`'s validation batches in turn.
"""

import dataclasses
import typing

import numpy as np

from trainloop.data import structures


@dataclasses.dataclass(frozen=True, eq=False)
class Resident:
  """Batches of examples that stand on the device, all of them.

  Attributes:
    arrays: (x, y, sample_weight) tensors of all examples.
    indices: int32 (n, batch): the examples of each of n batches.
  """

  arrays: tuple
  indices: typing.Any

  @property
  def length(self):
    """Batches, int."""
    return len(self.indices)

  @property
  def room(self):
    """Batches that its tensors have room for, int."""
    return self.length

  def padded(self, most):
    """The same batches, with room for `most` of them."""
    return dataclasses.replace(self, indices=_padded(self.indices, most))


@dataclasses.dataclass(frozen=True, eq=False)
class Staged:
  """Batches that were copied to the device together.

  Attributes:
    stretch: (x, y, sample_weight) tensors (steps, batch, ...).
    positions: int32 (n,): where each of n batches stands in it.
  """

  stretch: tuple
  positions: typing.Any

  @property
  def length(self):
    """Batches, int."""
    return len(self.positions)

  @property
  def room(self):
    """Batches that its tensors have room for, int."""
    return structures.leaves(self.stretch)[0].shape[0]

  def padded(self, most):
    """The same batches, with room for `most` of them."""
    return dataclasses.replace(self, positions=_padded(self.positions, most))


@dataclasses.dataclass(frozen=True, eq=False)
class Stream:
  """Batches that an iterator gives, one after another.

  Attributes:
    iterator: of a `tf.data.Dataset`, whose batches replicas share, or of a
      distributed one, whose batches are each replica's own.
    length: batches to take, int; in an evaluation the most to take.
  """

  iterator: typing.Any
  length: int

  @property
  def room(self):
    """Batches that it may give, int."""
    return self.length

  def padded(self, most):
    """The same batches: an iterator needs no room."""
    del most
    return self


def _padded(places, most):
  room = np.zeros((most, *places.shape[1:]), places.dtype)
  room[: len(places)] = places
  return room


class Described(typing.NamedTuple):
  """A dataset, to be told from others.

  Attributes:
    dataset: the `tf.data.Dataset` as one worker alone would read it.
    counted: checksum of its first batch when it was counted, int; None where
      it was not.
  """

  dataset: typing.Any
  counted: int | None


class Identified(typing.Protocol):
  """What a source is: read for a run's identity."""

  identity: dict
  """What makes the order of its examples, of JSON types."""

  def checksum(self):
    """32 bits that tell its examples from others."""

  def described(self):
    """Its `Described`; None where `identity` says all."""


class Checked(typing.Protocol):
  """What is in a source: read by the checks before the first update."""

  example: tuple
  """(x, y, sample_weight) of the first batch, arrays or tensors."""

  targets: typing.Any
  """All targets, or the first batch's; None without."""

  arrays: tuple | None
  """(x, y, sample_weight) of all examples, NumPy; None if not in memory."""

  num_examples: int | None
  """Examples of an epoch; None where only reading them would tell."""

  batch_size: int | None
  """Examples of a global batch; None where nobody knows it."""

  fixed_batches: bool
  """Whether batches have one shape, but for a partial last one of arrays."""

  def has_partial_batch(self, evaluates):
    """Whether a pass is known to end with a smaller batch.

    Args:
      evaluates: whether it is a pass of an evaluation, not of training.
    """


class Planned(typing.Protocol):
  """How long a source's windows may be: read when a fit is planned."""

  steps_per_epoch: int
  """Updates of an epoch of training."""

  most_steps: int
  """Most updates of a window; valid after `place` was called."""

  crosses: bool
  """Whether a window may cross an epoch's end; known behind `place`."""

  def place(self, jit, memory):
    """Decides whether batches go to the device all, staged or one by one.

    Args:
      jit: whether XLA compiles.
      memory: a `staging.Memory`.
    """

  def stage(self, steps, room):
    """Takes what batches are staged for.

    Args:
      steps: most updates of a window.
      room: how many the compiled window has room for, >= `steps`.
    """


class Read(typing.Protocol):
  """How a source gives its batches: called between windows, on one thread."""

  def begin(self, first_epoch, place=b"", epochs=None):
    """Before a fit.

    Args:
      first_epoch: epochs of the run before the fit.
      place: what `position` gave when the fit was left.
      epochs: of the fit; nothing behind them is read ahead.
    """

  def cut(self, first):
    """Updates from index `first` of an epoch that may share a window."""

  def training(self, strategy, epoch, first, count):
    """The batches of a window.

    Args:
      strategy: the `tf.distribute.Strategy` that reads them.
      epoch: int >= 0.
      first: index of the first update in its epoch.
      count: updates, at most `cut(first)`; they may go on into later epochs.

    Returns:
      A `Resident`, `Staged` or `Stream`.
    """

  def no_batches(self, room):
    """A `Resident` or `Staged` of no batch, of the shapes of `training`.

    Args:
      room: how many the compiled window has room for; known behind `place`,
        for `jit`.
    """

  def position(self, epoch, first):
    """The place before an update, as bytes for `begin`.

    No window may be running. b"" where none is needed, or none is proven.
    """

  def evaluation(self, strategy):
    """All examples, each once: a list of what `training` gives.

    They are one pass, one after another. For XLA their shapes follow from the
    size of a batch alone, so that data of another length share a program.
    """

  def again(self):
    """The same data, read from its start, which leaves this one alone."""


class Source(Identified, Checked, Planned, Read, typing.Protocol):
  """A source of batches: of training, of validation or of a sweep.

  A fit calls, in this order: `place`, `stage`, `begin`, and for each window
  `cut`, `training` and, before a checkpoint, `position`.
  """
