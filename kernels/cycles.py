"""Exact integer cycle arithmetic: boundaries, which cycle, position in it.

Boundaries are exact integers from a table, never from a logarithm: floating
logs put the 5th or 13th restart one step off. A position is int64 step minus
int64 start and is cast to float only then, so it is right past 2^24 and 2^31.
"""

import fractions
import math

import numpy as np
import tensorflow as tf

from kernels import checks

# A run of 2^62 steps is out of reach; tables of growing cycles end there.
_FAR = 1 << 62
LAST_STEP = (1 << 63) - 1
# Lengths that differ; a table of more would take seconds to make.
_MOST = 1 << 16


def exact(value):
  """The fraction that was written: 1.1 is 11/10, not its nearest binary."""
  return fractions.Fraction(repr(float(value)))


def cycle_lengths(first, multiplier, round_to, cycles=None):
  """Lengths n_0 = first, n_{i+1} = n_i x multiplier, up to whole `round_to`.

  The multiplier is taken as the decimal that was written, so 10 x 1.1 is 11.

  Args:
    first: length of cycle 0 in steps, int >= 1.
    multiplier: float > 0.
    round_to: int >= 1; each following length is a multiple of it.
    cycles: how many lengths, or None for endless.

  Returns:
    (lengths, repeats): a list of ints, and whether the last length goes on, up
    to `cycles` or for ever. Without `repeats` the list covers `cycles`, or
    2^62 steps.

  Raises:
    ValueError: if that takes more than 2^16 different lengths.
  """
  growth = exact(multiplier)
  lengths, end = [first], first
  while end < _FAR and (cycles is None or len(lengths) < cycles):
    following = math.ceil(lengths[-1] * growth / round_to) * round_to
    following = min(following, _FAR)  # so that every end fits an int64
    if following == lengths[-1]:
      return lengths, True
    if len(lengths) == _MOST:
      rule = f"such that 2^62 steps hold at most {_MOST} cycles"
      checks.fail("cycle_mult", multiplier, rule)
    lengths.append(following)
    end += following
  return lengths, False


def locate(step, starts):
  """Which cycle a step is in.

  Args:
    step: int64 tensor of any shape, >= 0.
    starts: list of ascending ints, the first 0: step at which cycle i starts.

  Returns:
    int32 tensor of the shape of `step`: the largest i with starts[i] <= step.
  """
  if step.shape.rank == 0:
    return _locate_one(step, starts)
  table = tf.constant(starts, tf.int64)
  flat = tf.reshape(step, [-1])
  cycle = tf.searchsorted(table, flat, side="right") - 1
  return tf.reshape(cycle, tf.shape(step))


def _locate_one(step, starts):
  """`locate` for one step: which block of the table, then where in it.

  XLA searches a table by comparing all of it, in three fusions where it has
  more than 32 entries: 0.16 us for 430. Two short counts take 0.04 us.
  """

  def count(row):
    return tf.reduce_sum(tf.cast(row <= step, tf.int32)) - 1

  width = max(16, math.isqrt(len(starts)) + 1)
  if len(starts) <= width:
    return count(tf.constant(starts, tf.int64))
  never = [tf.int64.max] * (-len(starts) % width)
  blocks = np.reshape([*starts, *never], [-1, width])
  block = count(tf.constant(blocks[:, 0], tf.int64))
  return width * block + count(tf.gather(tf.constant(blocks, tf.int64), block))


def fractions_of(position, length):
  """(done, left) in float64, done = position/length and left = 1 - done.

  Args:
    position: int64 tensor; clamped to [0, length].
    length: int or int64 tensor >= 0; a phase of 0 steps is done at 0.

  Returns:
    Two float64 tensors in [0, 1], each from its own integer, so exact at both
    ends and precise near them.
  """
  length = tf.cast(length, tf.int64)
  position = tf.clip_by_value(position, tf.zeros_like(length), length)
  whole = tf.cast(tf.maximum(length, 1), tf.float64)
  done = tf.cast(position, tf.float64) / whole
  left = tf.cast(length - position, tf.float64) / whole
  return tf.where(length > 0, done, tf.ones_like(done)), left
