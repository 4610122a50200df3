"""The inner loop, in graph: n updates in one compiled call, one row each."""

import dataclasses
import typing

import numpy as np
import tensorflow as tf

from trainloop.compiled import batches as batches_lib
from trainloop.model import bounds
from trainloop.model import rows as row_lib

# Each end of an epoch inside a window keeps a copy of the metrics.
_MOST_ENDS = 64


@dataclasses.dataclass(frozen=True)
class Capacity:
  """What a compiled window has room for.

  It follows from the data and from `steps_per_loop` alone, so that fits of
  other lengths, sweeps and trials share one program.

  Attributes:
    updates: most updates of a call.
    ends: most ends of epochs inside one.
  """

  updates: int
  ends: int

  @classmethod
  def of(cls, source, most):
    """The capacity of windows that read a data source.

    Args:
      source: the data source of training, placed.
      most: most updates that are wanted, int >= 1.
    """
    updates, size = min(most, source.most_steps), source.steps_per_epoch
    inside = (updates + size - 2) // size if source.crosses else 0
    return cls(updates, min(_MOST_ENDS, inside))


@dataclasses.dataclass(frozen=True)
class Result:
  """What a window did, as tensors.

  Attributes:
    rows: float32 (>= n, columns), of which the first `done` hold.
    done: int32 scalar, updates done.
    halted: bool scalar, whether the update after them was refused and ended
      the window; its row then stands at index `done`.
    losses: float64 (>= ends, ), mean losses of the epochs that ended inside.
    metrics: what `Update.metrics` gave at each of these ends, stacked.
    alarm: why the update at `done` was refused, see `bounds`; None in a
      window that does not look.
  """

  rows: typing.Any
  done: typing.Any
  halted: typing.Any
  losses: typing.Any
  metrics: typing.Any
  alarm: typing.Any


class Window:
  """n updates of one model in one compiled call, whatever n is.

  Everything runs in cross-replica context except what goes to `strategy.run`.

  Args:
    strategy: the `tf.distribute.Strategy` of model and optimizer.
    update: the `Update` that it repeats.
    state: the run's `TrainState`.
    capacity: the `Capacity` of its calls.
    jit: whether XLA compiles it: then one program serves calls of up to
      `capacity.updates`.
    whole: whether all batches have one size; see `Feed`.

  Attributes:
    capacity: the same.
  """

  def __init__(self, strategy, update, state, capacity, jit=False, whole=False):
    self._strategy = strategy
    self._update = update
    self._state = state
    self.capacity = capacity
    # Out of arrays with one row XLA makes another program, whose loss may
    # differ in the last bit.
    self._room = max(2, capacity.updates) if jit else None
    self._feed = batches_lib.Feed(strategy, jit=jit, whole=whole)

  def __call__(self, table, batches, ends=()):
    """Does an update a batch; one that is not finite is not applied.

    Args:
      table: the `Table` that gives each update its hyperparameters.
      batches: n of them, a `Resident`, `Staged` or `Stream`.
      ends: ints in (0, n), rising: numbers of updates after which an epoch
        ends; at most `capacity.ends`. One that ends with the window is left to
        the caller.

    Returns:
      A `Result`.
    """
    return Result(*self._feed.call(*self._arguments(table, batches, ends)))

  def attempt(self, table, batches):
    """Traces it; see `Feed.attempt`.

    Args:
      table: see `__call__`.
      batches: none of them, see `protocol.Read.no_batches`: no update is made.
    """
    return self._feed.attempt(*self._arguments(table, batches, ()))

  def _arguments(self, table, batches, ends):
    """What `Feed.call` takes."""
    n = batches.length
    if self._room is not None:
      # A short window shares the program of a full one. The partial last
      # batch of an epoch has a shape, and so a program, of its own.
      batches = batches.padded(self._room)
    with self._strategy.scope():
      rows = table(self._room or n)
    # n and the ends of epochs as one tensor: each argument costs call time.
    counts = [n, *ends, *[n] * (1 + self.capacity.ends - len(ends))]
    return self._train, batches, rows, tf.constant(counts)

  def check(self, result, step):
    """Refuses data that ended a window as out of its range.

    Args:
      result: the `Result`.
      step: global step that the window began with.

    Raises:
      ValueRangeError: for the update that was not applied.
    """
    if result.alarm is None:
      return
    broken = self._update.range_checks.broken(np.asarray(result.alarm))
    if broken:
      raise bounds.ValueRangeError(*broken, step=step + int(result.done))

  @property
  def traces(self):
    """How often the window was traced."""
    return self._feed.traces(self._train)

  def _train(self, batches, table, counts):
    n, ends = counts[0], counts[1:]
    clock, size = self._state.clock, self._room or n

    def body(i, halted, totals, rows, _):
      row, halted, counted, alarm = self._update(*batches(i), table[i])
      alarm = [alarm] if self._update.watched else []
      totals = totals + counted
      done = i + tf.cast(~halted, tf.int32)
      return done, halted, totals, rows.write(i, row), alarm

    def until(end, *loop):
      return tf.while_loop(
        lambda i, halted, *_: (i < end) & ~halted,
        body,
        loop,
        parallel_iterations=1,
      )

    width = self._update.layout.width
    rows = tf.TensorArray(tf.float32, size, element_shape=[width])
    alarm = [bounds.none()] if self._update.watched else []
    loop = (tf.constant(0), tf.constant(False), clock.totals(), rows, alarm)
    if self.capacity.ends:
      loop, epochs, closed = self._epochs(until, loop, n, ends)
    else:
      loop, epochs, closed = until(n, *loop), tf.constant(0), None
    done, halted, totals, rows, alarm = loop
    rows = rows.stack()
    skipped = tf.math.count_nonzero(
      rows[:done, row_lib.SKIPPED], dtype=tf.int32
    )
    self._update.finish(table, done)
    clock.count(done, skipped, epochs, totals)
    losses, metrics = closed or (tf.zeros([0], tf.float64), [])
    return rows, done, halted, losses, metrics, alarm[0] if alarm else None

  def _epochs(self, until, loop, n, ends):
    """Runs `until` each end; an epoch that ends leaves its sums and metrics.

    Returns:
      (loop, epochs, (losses, metrics)): see `Result`.
    """
    first = [tf.zeros([], tf.float64), *self._update.metrics()]
    closed = tuple(
      tf.TensorArray(v.dtype, self.capacity.ends, element_shape=v.shape)
      for v in first
    )

    def close(k, totals, closed):
      values = [totals[0] / totals[1], *self._update.metrics()]
      closed = tuple(a.write(k, v) for a, v in zip(closed, values, strict=True))
      self._update.reset_metrics()
      return k + 1, tf.zeros_like(totals), closed

    def body(k, closed, *loop):
      i, halted, totals, *rest = until(ends[k], *loop)
      k, totals, closed = tf.cond(
        (i < n) & ~halted,
        lambda: close(k, totals, closed),
        lambda: (k, totals, closed),
      )
      return k, closed, i, halted, totals, *rest

    k, closed, *loop = tf.while_loop(
      lambda k, closed, i, halted, *_: (i < n) & ~halted,
      body,
      (tf.constant(0), closed, *loop),
      parallel_iterations=1,
    )
    losses, *metrics = [array.stack() for array in closed]
    return loop, k, (losses, metrics)
