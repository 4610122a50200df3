"""Looks at each update of a sweep in graph, and says where it diverged."""

import typing

import tensorflow as tf

from trainloop.compiled.batches import Feed
from trainloop.data import structures
from trainloop.data.protocol import Staged
from trainloop.devices import strategies
from trainloop.model import rows


class Criterion(typing.NamedTuple):
  """What a sweep has diverged by.

  Attributes:
    smoothing: beta of the exponential moving average, in [0, 1).
    divergence: factor > 1, or None for non-finite losses only.
    validation: an `ArrayData` whose batches, in turn, are evaluated after
      each update for the loss that counts; None for the training loss.
  """

  smoothing: float
  divergence: float | None
  validation: typing.Any = None


class DivergenceCheck(tf.Module):
  """Divergence of a sweep, decided inside its window.

  A sweep has diverged at a loss that is not finite, or above `divergence`
  times the least smoothed loss so far. Losses are those of the global batch,
  so that all replicas stop at the same update.

  Args:
    strategy: the `tf.distribute.Strategy`; made under its scope.
    replica: the model's `Replica`.
    criterion: the `Criterion`.
    updates: most updates of a window, int >= 1.
  """

  def __init__(self, strategy, replica, criterion, updates=1):
    super().__init__(name="watch")
    self._strategy, self._replica = strategy, replica
    self._beta, self._divergence, validation = criterion
    self._mean = tf.Variable(0.0, dtype=tf.float64, trainable=False)
    self._weight = tf.Variable(0.0, dtype=tf.float64, trainable=False)
    self._best = tf.Variable(float("inf"), dtype=tf.float64, trainable=False)
    self._turn = tf.Variable(0, dtype=tf.int32, trainable=False)
    self._feed, self._validation = Feed(strategy), validation
    self._updates, self._room = updates, None
    if validation is not None:
      batches = validation.cyclic_batches(0, updates)
      self._room = structures.map_leaves(
        lambda batch: tf.Variable(batch, trainable=False), batches
      )

  def stage(self, done):
    """Before the window after `done` updates: its validation batches."""
    if self._room is None:
      return
    batches = structures.leaves(
      self._validation.cyclic_batches(done, self._updates)
    )
    for room, batch in zip(structures.leaves(self._room), batches, strict=True):
      room.assign(batch)
    self._turn.assign(0)

  def __call__(self, row):
    """Looks at one update; traced, cross-replica.

    Args:
      row: float32 vector, the update's row.

    Returns:
      (row, diverged): the row with the loss that is judged, and whether the
      sweep has diverged, a bool tensor.
    """
    loss = row[rows.LOSS] if self._room is None else self._validate()
    row = tf.stack(rows.Row(*tf.unstack(row))._replace(loss=loss))
    value = tf.cast(loss, tf.float64)
    self._mean.assign(self._beta * self._mean + (1 - self._beta) * value)
    self._weight.assign(self._beta * self._weight + (1 - self._beta))
    least = tf.minimum(self._best, self._mean / self._weight)
    diverged = ~tf.math.is_finite(value)
    if self._divergence is not None:
      # Written so that a loss below 0 has a bound above it, too.
      bound = least + (self._divergence - 1) * tf.abs(least)
      diverged = diverged | (value > bound)
    self._best.assign(least)
    return row, diverged

  def _validate(self):
    """The loss of the next validation batch, float32 scalar."""
    data = structures.map_leaves(tf.convert_to_tensor, self._room)
    staged = Staged(data, tf.range(self._updates))
    batch, count = self._feed.batches(staged)(self._turn.read_value())
    self._turn.assign_add(1)
    loss, _ = self._strategy.run(self._replica.evaluate, args=(batch, count))
    return strategies.first(self._strategy, loss)
