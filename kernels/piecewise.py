"""Schedules that are flat between their steps."""

import dataclasses

import tensorflow as tf

from kernels import base, checks, curves, cycles
from kernels.steps import Steps


@dataclasses.dataclass(frozen=True)
class StepDecay(base.Schedule):
  """initial drop^floor(t / drop_every), for ever.

  Args:
    initial_lr: rate of step 0, finite, >= 0.
    drop: factor of a drop, > 0.
    drop_every: steps between drops, int >= 1.

  Raises:
    ValueError: if a field breaks its rule.

  >>> kernels.StepDecay(0.1, 0.5, 10)([0, 9, 10, 20]).learning_rate.numpy()
  array([0.1  , 0.1  , 0.05 , 0.025], dtype=float32)
  """

  initial_lr: float
  drop: float
  drop_every: int

  total_steps = None

  def __post_init__(self):
    self.set_fields(
      initial_lr=checks.rate("initial_lr", self.initial_lr),
      drop=checks.positive("drop", self.drop),
      drop_every=checks.integer("drop_every", self.drop_every, 1),
    )

  def compute(self, step):
    drops = tf.cast(step // self.drop_every, tf.float64)
    drop = tf.constant(self.drop, tf.float64)
    return curves.grown(self.initial_lr, tf.pow(drop, drops)), None

  def corners(self, steps):
    return [Steps(range(self.drop_every, steps, self.drop_every))]


@dataclasses.dataclass(frozen=True)
class PiecewiseConstant(base.Schedule):
  """values[i] between boundaries; a boundary step has the new value.

  Args:
    boundaries: strictly ascending steps, ints >= 1.
    values: rates, one more than boundaries, each finite and >= 0.

  Raises:
    ValueError: if a field breaks its rule.

  >>> schedule = kernels.PiecewiseConstant([5], [0.1, 0.01])
  >>> schedule([0, 4, 5]).learning_rate.numpy()
  array([0.1 , 0.1 , 0.01], dtype=float32)
  """

  boundaries: tuple
  values: tuple

  total_steps = None

  def __post_init__(self):
    boundaries = checks.boundaries("boundaries", self.boundaries)
    if not boundaries:
      checks.fail("boundaries", self.boundaries, "at least one step")
    values = self.values
    count = len(boundaries) + 1
    if not isinstance(values, (tuple, list)) or len(values) != count:
      checks.fail("values", values, f"{count} rates, one more than boundaries")
    self.set_fields(
      boundaries=boundaries,
      values=tuple(checks.rate("values", value) for value in values),
    )

  def compute(self, step):
    row = cycles.locate(step, [0, *self.boundaries])
    return tf.gather(tf.constant(self.values, tf.float64), row), None

  def corners(self, steps):
    return [Steps(self.boundaries).within(1, steps)]
