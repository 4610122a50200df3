"""Schedules that run from one value to another, without restarts."""

import dataclasses
import math

import tensorflow as tf

from kernels import base, checks, curves, cycles
from kernels.steps import Steps


@dataclasses.dataclass(frozen=True)
class Constant(base.Schedule):
  """The same learning rate, and momentum if given, for ever.

  Args:
    learning_rate: rate of every step, finite, >= 0.
    momentum: coefficient in [0, 1), or None to leave momentum alone.

  Raises:
    ValueError: if a field breaks its rule.

  >>> kernels.Constant(0.1, momentum=0.9)([0, 7]).momentum.numpy()
  array([0.9, 0.9], dtype=float32)
  """

  learning_rate: float
  momentum: float | None = None

  total_steps = None

  def __post_init__(self):
    self.set_fields(
      learning_rate=checks.rate("learning_rate", self.learning_rate),
      momentum=checks.coefficient("momentum", self.momentum),
    )

  def compute(self, step):
    ones = tf.ones_like(step, tf.float64)
    momentum = None if self.momentum is None else self.momentum * ones
    return self.learning_rate * ones, momentum


@dataclasses.dataclass(frozen=True)
class Linear(base.Schedule):
  """A straight line from initial_lr at 0 to final_lr at t = total_steps.

  initial + (final - initial) t / total; final after that.

  Args:
    initial_lr: rate of step 0, finite, >= 0.
    final_lr: rate at total_steps and after, finite, >= 0.
    total_steps: int >= 1.

  Raises:
    ValueError: if a field breaks its rule.

  >>> kernels.Linear(0.1, 0.0, 100)([0, 50, 100, 200]).learning_rate.numpy()
  array([0.1 , 0.05, 0.  , 0.  ], dtype=float32)
  """

  initial_lr: float
  final_lr: float
  total_steps: int

  def __post_init__(self):
    self.set_fields(
      initial_lr=checks.rate("initial_lr", self.initial_lr),
      final_lr=checks.rate("final_lr", self.final_lr),
      total_steps=checks.integer("total_steps", self.total_steps, 1),
    )

  def compute(self, step):
    done, left = cycles.fractions_of(step, self.total_steps)
    return curves.linear(self.initial_lr, self.final_lr, done, left), None


@dataclasses.dataclass(frozen=True)
class Cosine(base.Schedule):
  """Half a cosine wave from initial_lr at 0 to final_lr at t = total_steps.

  final + (initial - final)/2 (1 + cos(pi t / total)); final after that.

  Args:
    initial_lr: rate of step 0, finite, >= 0.
    total_steps: int >= 1.
    final_lr: rate at total_steps and after, finite, >= 0.

  Raises:
    ValueError: if a field breaks its rule.

  Loshchilov & Hutter 2017, "SGDR", without restarts.

  >>> kernels.Cosine(0.1, 100, 0.02)([0, 50, 100, 200]).learning_rate.numpy()
  array([0.1 , 0.06, 0.02, 0.02], dtype=float32)
  """

  initial_lr: float
  total_steps: int
  final_lr: float = 0.0

  def __post_init__(self):
    self.set_fields(
      initial_lr=checks.rate("initial_lr", self.initial_lr),
      total_steps=checks.integer("total_steps", self.total_steps, 1),
      final_lr=checks.rate("final_lr", self.final_lr),
    )

  def compute(self, step):
    done, left = cycles.fractions_of(step, self.total_steps)
    return curves.cosine(self.initial_lr, self.final_lr, done, left), None


@dataclasses.dataclass(frozen=True)
class Polynomial(base.Schedule):
  """(initial - final) (1 - t/D)^power + final, D = total_steps.

  With `cycle`, D = total x max(1, ceil(t / total)): the rate rises again after
  each total_steps and the schedule has no end. Otherwise final after D.

  Args:
    initial_lr: rate of step 0, finite, >= 0.
    final_lr: rate at t = D, finite, >= 0.
    total_steps: int >= 1.
    power: > 0.
    cycle: whether D grows.

  Raises:
    ValueError: if a field breaks its rule.

  >>> schedule = kernels.Polynomial(0.1, 0.0, 100, power=2)
  >>> schedule([0, 50, 100]).learning_rate.numpy()
  array([0.1  , 0.025, 0.   ], dtype=float32)
  """

  initial_lr: float
  final_lr: float
  total_steps: int
  power: float = 1.0
  cycle: bool = False

  def __post_init__(self):
    if not isinstance(self.cycle, bool):
      checks.fail("cycle", self.cycle, "True or False")
    self.set_fields(
      initial_lr=checks.rate("initial_lr", self.initial_lr),
      final_lr=checks.rate("final_lr", self.final_lr),
      total_steps=checks.integer("total_steps", self.total_steps, 1),
      power=checks.positive("power", self.power),
    )

  def compute(self, step):
    length = tf.constant(self.total_steps, tf.int64)
    if self.cycle:
      length *= tf.maximum((step + length - 1) // length, 1)
    _, left = cycles.fractions_of(step, length)
    part = tf.pow(left, tf.constant(self.power, tf.float64))
    rate = curves.linear(self.final_lr, self.initial_lr, part, 1.0 - part)
    return rate, None

  def corners(self, steps):
    total = self.total_steps
    if self.cycle:  # final_lr at each multiple, and a jump behind it
      return [Steps(range(total + 1, steps, total))]
    return super().corners(steps)


@dataclasses.dataclass(frozen=True)
class Exponential(base.Schedule):
  """initial decay_rate^(t / decay_steps), for ever, or up to end_lr.

  Args:
    initial_lr: rate of step 0, finite, >= 0.
    decay_steps: steps of one factor, int >= 1.
    decay_rate: factor, > 0.
    staircase: whether the exponent is floored to an integer.
    end_lr: where it stops: no rate is below it with decay_rate < 1, none above
      it otherwise; None for no end.

  Raises:
    ValueError: if a field breaks its rule.

  >>> kernels.Exponential(0.1, 10, 0.5)([0, 10, 20]).learning_rate.numpy()
  array([0.1  , 0.05 , 0.025], dtype=float32)
  >>> ended = kernels.Exponential(0.1, 10, 0.5, end_lr=0.04)
  >>> ended([0, 10, 20]).learning_rate.numpy()
  array([0.1 , 0.05, 0.04], dtype=float32)
  """

  initial_lr: float
  decay_steps: int
  decay_rate: float
  staircase: bool = False
  end_lr: float | None = None

  total_steps = None

  def __post_init__(self):
    _check_decay(self)
    if self.end_lr is not None:
      self.set_fields(end_lr=checks.rate("end_lr", self.end_lr))

  def compute(self, step):
    factor = tf.constant(self.decay_rate, tf.float64)
    power = tf.pow(factor, _exponent(self, step))
    rate = curves.grown(self.initial_lr, power)
    if self.end_lr is not None:
      nearer = tf.maximum if self.decay_rate < 1 else tf.minimum
      rate = nearer(rate, tf.constant(self.end_lr, tf.float64))
    return rate, None

  def corners(self, steps):
    return [*_stairs(self, steps), self._end().within(1, steps)]

  def _end(self):
    """The step from which end_lr holds, as `Steps`: none or one."""
    way = (self.end_lr or 0) / self.initial_lr if self.initial_lr else 0
    if way <= 0 or self.decay_rate == 1:
      return Steps()
    end = math.log(way) / math.log(self.decay_rate)
    end = math.ceil(
      (math.ceil(end) if self.staircase else end) * self.decay_steps
    )
    return Steps([end] if 0 < end < 1 << 62 else [])


@dataclasses.dataclass(frozen=True)
class InverseTime(base.Schedule):
  """initial / (1 + decay_rate t / decay_steps), for ever.

  Args:
    initial_lr: rate of step 0, finite, >= 0.
    decay_steps: int >= 1.
    decay_rate: > 0.
    staircase: whether t / decay_steps is floored to an integer.

  Raises:
    ValueError: if a field breaks its rule.

  >>> kernels.InverseTime(0.1, 10, 1.0)([0, 10, 30]).learning_rate.numpy()
  array([0.1  , 0.05 , 0.025], dtype=float32)
  """

  initial_lr: float
  decay_steps: int
  decay_rate: float
  staircase: bool = False

  total_steps = None

  def __post_init__(self):
    _check_decay(self)

  def compute(self, step):
    part = self.decay_rate * _exponent(self, step)
    return self.initial_lr / (1.0 + part), None

  def corners(self, steps):
    return _stairs(self, steps)


def _check_decay(schedule):
  """Checks the fields that Exponential and InverseTime share."""
  if not isinstance(schedule.staircase, bool):
    checks.fail("staircase", schedule.staircase, "True or False")
  schedule.set_fields(
    initial_lr=checks.rate("initial_lr", schedule.initial_lr),
    decay_steps=checks.integer("decay_steps", schedule.decay_steps, 1),
    decay_rate=checks.positive("decay_rate", schedule.decay_rate),
  )


def _exponent(schedule, step):
  """t / decay_steps in float64, floored when `staircase`."""
  if schedule.staircase:
    return tf.cast(step // schedule.decay_steps, tf.float64)
  return tf.cast(step, tf.float64) / schedule.decay_steps


def _stairs(schedule, steps):
  """The corners of Exponential and InverseTime."""
  every = schedule.decay_steps
  return [Steps(range(every, steps, every) if schedule.staircase else [])]
