"""Cosine annealing with warm restarts (SGDR)."""

import dataclasses
import functools
import itertools

import tensorflow as tf

from kernels import base, checks, curves, cycles
from kernels.steps import Steps


@dataclasses.dataclass(frozen=True)
class CosineRestarts(base.Schedule):
  """SGDR: cosine cycles that restart at the peak and may grow or shrink.

  Cycle i has n_i steps, n_0 = cycle_steps and n_{i+1} = n_i x cycle_mult
  rounded up to a multiple of round_to. At position p of cycle i:
  floor + (peak decay^i - floor)/2 (1 + cos(pi p / n_i)).
  The restart step itself has the cycle's peak; after `cycles` cycles: floor.
  Once peak decay^i is below the floor, a cycle runs from it up to the floor.

  Args:
    peak_lr: rate at the start of cycle 0, finite, >= 0.
    cycle_steps: steps of cycle 0, int >= 1.
    cycle_mult: growth of the cycle length, > 0, as the decimal written.
    peak_decay: factor on the peak at each restart, > 0.
    floor_lr: rate that a cycle falls towards, finite, >= 0.
    cycles: number of cycles, int >= 1, or None for endless.
    round_to: int >= 1; the steps of an epoch keep cycles in whole epochs.
    momentum: (at low lr, at high lr) or None; swings fully in every cycle.

  Raises:
    ValueError: if a field breaks its rule.

  Loshchilov & Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm
  Restarts".

  >>> schedule = kernels.CosineRestarts(0.1, 10, cycle_mult=2, peak_decay=0.5)
  >>> schedule([0, 5, 9, 10, 20, 30]).learning_rate.numpy()
  array([0.1       , 0.05      , 0.00244717, 0.05      , 0.025     ,
         0.025     ], dtype=float32)
  >>> schedule.cycle_starts(100)
  [10, 30, 70]
  """

  peak_lr: float
  cycle_steps: int
  cycle_mult: float = 1.0
  peak_decay: float = 1.0
  floor_lr: float = 0.0
  cycles: int | None = None
  round_to: int = 1
  momentum: tuple | None = None

  def __post_init__(self):
    count = self.cycles
    self.set_fields(
      peak_lr=checks.rate("peak_lr", self.peak_lr),
      cycle_steps=checks.integer("cycle_steps", self.cycle_steps, 1),
      cycle_mult=checks.positive("cycle_mult", self.cycle_mult),
      peak_decay=checks.positive("peak_decay", self.peak_decay),
      floor_lr=checks.rate("floor_lr", self.floor_lr),
      cycles=None if count is None else checks.integer("cycles", count, 1),
      round_to=checks.integer("round_to", self.round_to, 1),
      momentum=checks.momentum_pair("momentum", self.momentum),
    )
    assert self._table  # made now: it may refuse the multiplier

  @functools.cached_property
  def _table(self):
    """(starts, lengths, repeats): plain ints; see `cycles.cycle_lengths`."""
    lengths, repeats = cycles.cycle_lengths(
      self.cycle_steps, self.cycle_mult, self.round_to, self.cycles
    )
    starts = [0, *itertools.accumulate(lengths)]
    return starts, lengths, repeats

  @property
  def total_steps(self):
    """Steps of all cycles, or None for an endless schedule."""
    if self.cycles is None:
      return None
    starts, lengths, _ = self._table
    return starts[-1] + (self.cycles - len(lengths)) * lengths[-1]

  def cycle_starts(self, steps):
    starts, lengths, repeats = self._table
    end = steps if self.cycles is None else min(steps, self.total_steps)
    more = range(starts[-1] + lengths[-1], end, lengths[-1])
    table = [start for start in starts[1:] if start < end]
    return Steps(table, more if repeats else [])

  def compute(self, step):
    index, position, length = self._locate(step)
    done, left = cycles.fractions_of(position, length)
    peak = self._peak(index)
    floor = tf.constant(self.floor_lr, tf.float64)
    learning_rate = curves.cosine(peak, floor, done, left)
    momentum = None
    if self.momentum is not None:
      low, high = self.momentum
      momentum = curves.cosine(high, low, done, left)
    if self.cycles is not None and self.total_steps <= cycles.LAST_STEP:
      over = step >= self.total_steps
      learning_rate = tf.where(over, floor, learning_rate)
      if momentum is not None:
        momentum = tf.where(over, tf.cast(low, tf.float64), momentum)
    return learning_rate, momentum

  def _locate(self, step):
    """(cycle, position in it, its length), int64, of the shape of step."""
    starts, lengths, repeats = self._table
    if repeats and len(lengths) == 1:
      length = tf.constant(lengths[0], tf.int64)
      return step // length, step % length, length
    if repeats:  # the table's last cycle goes on for ever
      starts = starts[:-1]
    else:  # the step past the end stays in the last cycle
      lengths = [*lengths, lengths[-1]]
    row = cycles.locate(step, starts)
    position = step - tf.gather(tf.constant(starts, tf.int64), row)
    length = tf.gather(tf.constant(lengths, tf.int64), row)
    index = tf.cast(row, tf.int64)
    if repeats:
      more = tf.where(index == len(lengths) - 1, position // length, 0)
      index, position = index + more, position - more * length
    return index, position, length

  def _peak(self, index):
    if self.peak_decay == 1.0:
      return tf.constant(self.peak_lr, tf.float64)
    decay = tf.constant(self.peak_decay, tf.float64)
    power = tf.pow(decay, tf.cast(index, tf.float64))
    # A peak of 0 stays 0 where the power is past float64.
    peak = tf.constant(self.peak_lr, tf.float64)
    return tf.math.multiply_no_nan(power, peak)
