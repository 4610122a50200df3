"""Schedules made of schedules: Join, Warmup, Scaled, Product."""

import dataclasses
import itertools

import numpy as np
import tensorflow as tf

from kernels import base, checks, curves, cycles, lengths
from kernels.steps import Steps


@dataclasses.dataclass(frozen=True)
class Join(base.Schedule):
  """One schedule after another.

  Schedule j drives the steps from boundaries[j-1] up to, not including,
  boundaries[j], and sees step - boundaries[j-1]: a boundary step belongs to
  the next one. It ends where its last schedule does. A schedule that is
  shorter than its part holds its last value. Each boundary starts a cycle.

  Args:
    schedules: one or more `Schedule`s; all of them set momentum, or none.
    boundaries: strictly ascending steps, ints >= 1, one fewer than schedules.

  Raises:
    ValueError: if a field breaks its rule.

  >>> parts = [kernels.Constant(0.1), kernels.Linear(0.05, 0.0, 10)]
  >>> kernels.Join(parts, [5])([0, 4, 5, 10, 15]).learning_rate.numpy()
  array([0.1  , 0.1  , 0.05 , 0.025, 0.   ], dtype=float32)
  """

  schedules: tuple
  boundaries: tuple

  def __post_init__(self):
    schedules = _several(self.schedules)
    moves = [one.moves_momentum for one in schedules]
    if len(set(moves)) > 1:
      rule = "schedules that all set momentum, or none of them"
      checks.fail("schedules", schedules, rule)
    boundaries = checks.boundaries("boundaries", self.boundaries)
    if len(boundaries) != len(schedules) - 1:
      rule = f"{len(schedules) - 1} steps, one fewer than schedules"
      checks.fail("boundaries", boundaries, rule)
    self.set_fields(schedules=schedules, boundaries=boundaries)

  @property
  def total_steps(self):
    """Step at which the last schedule ends; None if it is endless."""
    start, last = self._parts()[-1]
    return None if last.total_steps is None else start + last.total_steps

  @property
  def overrun(self):
    """Whether a run may be longer: what the last schedule says."""
    return self.schedules[-1].overrun

  @property
  def warmup_end(self):
    """The first schedule's, or the first boundary if that is earlier."""
    return min(self.schedules[0].warmup_end, *self.boundaries, 1 << 62)

  def cycle_starts(self, steps):
    found = Steps()
    for start, schedule, length in self._driven(steps):
      found += [start] if start else []
      found += Steps.of(schedule.cycle_starts(length)).shifted(start)
    return found

  def corners(self, steps):
    return [
      Steps(self.boundaries).within(1, steps),
      *(
        Steps.of(corners).shifted(start)
        for start, schedule, length in self._driven(steps)
        for corners in schedule.corners(length)
      ),
    ]

  def compute(self, step):
    (_, first), *rest = self._parts()
    rate, momentum = first.compute(step)
    for start, schedule in rest:
      mine = step >= start
      new_rate, new = schedule.compute(tf.maximum(step - start, 0))
      rate = tf.where(mine, new_rate, rate)
      momentum = None if new is None else tf.where(mine, new, momentum)
    return rate, momentum

  def _parts(self):
    return list(zip((0, *self.boundaries), self.schedules, strict=True))

  def _driven(self, steps):
    """(start, schedule, its number of steps) of those before step `steps`."""
    ends = [*self.boundaries, steps]
    for (start, schedule), end in zip(self._parts(), ends, strict=True):
      if start < steps:
        yield start, schedule, min(end, steps) - start


@dataclasses.dataclass(frozen=True)
class Warmup(base.Schedule):
  """A line from initial_lr up to a schedule's first rate, then the schedule.

  initial + (schedule(0) - initial) t / warmup_steps, then
  schedule(t - warmup_steps). Momentum waits at the schedule's first value.

  Without `shift` the line stands in place of the schedule's first steps: then
  comes schedule(t), on its own clock, which has usually moved on from its
  first rate by then.

  Args:
    schedule: a `Schedule`.
    warmup_steps: steps of the line, int >= 0.
    initial_lr: rate of step 0 where there is a warmup, finite, >= 0.
    shift: whether the schedule begins behind the line; timm's default is not.

  Raises:
    ValueError: if a field breaks its rule.

  Goyal et al. 2017, "Accurate, Large Minibatch SGD".

  >>> schedule = kernels.Warmup(kernels.Constant(0.1), 10)
  >>> schedule([0, 5, 10]).learning_rate.numpy()
  array([0.  , 0.05, 0.1 ], dtype=float32)
  >>> running = kernels.Warmup(kernels.Linear(0.1, 0.0, 20), 10, shift=False)
  >>> running([0, 5, 10, 20]).learning_rate.numpy()
  array([0.  , 0.05, 0.05, 0.  ], dtype=float32)
  """

  schedule: base.Schedule
  warmup_steps: int
  initial_lr: float = 0.0
  shift: bool = True

  def __post_init__(self):
    base.check_schedule("schedule", self.schedule)
    if not isinstance(self.shift, bool):
      checks.fail("shift", self.shift, "True or False")
    self.set_fields(
      warmup_steps=checks.integer("warmup_steps", self.warmup_steps, 0),
      initial_lr=checks.rate("initial_lr", self.initial_lr),
    )

  @property
  def total_steps(self):
    """The schedule's steps, behind the warmup's; None if it is endless."""
    total = self.schedule.total_steps
    return None if total is None else total + self._start

  @property
  def overrun(self):
    """Whether a run may be longer: what the schedule says."""
    return self.schedule.overrun

  @property
  def warmup_end(self):
    """The end of the line, and of a warmup inside."""
    return max(self.warmup_steps, self._start + self.schedule.warmup_end)

  @property
  def _start(self):
    """The step that is the schedule's own step 0."""
    return self.warmup_steps if self.shift else 0

  def cycle_starts(self, steps):
    own = self.schedule.cycle_starts(max(0, steps - self._start))
    return self._driven(own, steps)

  def corners(self, steps):
    own = self.schedule.corners(max(0, steps - self._start))
    line = Steps([self.warmup_steps]).within(1, steps)
    return [line, *(self._driven(corners, steps) for corners in own)]

  def _driven(self, own, steps):
    """The schedule's own steps on this clock, those under the line left out."""
    return Steps.of(own).shifted(self._start).within(self.warmup_steps, steps)

  def compute(self, step):
    # On the line the schedule is asked for its step 0: the line's end.
    warm = step < self.warmup_steps
    own = tf.where(warm, tf.zeros_like(step), step - self._start)
    rate, momentum = self.schedule.compute(own)
    up = cycles.fractions_of(step, self.warmup_steps)
    line = curves.linear(self.initial_lr, rate, *up)
    return tf.where(warm, line, rate), momentum


@dataclasses.dataclass(frozen=True)
class Scaled(lengths.LengthOfSchedule, base.Schedule):
  """Another schedule's learning rate times a factor; momentum as it is.

  Args:
    schedule: a `Schedule`.
    factor: finite, >= 0.

  Raises:
    ValueError: if a field breaks its rule.

  >>> schedule = kernels.Scaled(kernels.Linear(0.1, 0.0, 4), 0.5)
  >>> schedule([0, 2]).learning_rate.numpy()
  array([0.05 , 0.025], dtype=float32)
  """

  schedule: base.Schedule
  factor: float

  def __post_init__(self):
    base.check_schedule("schedule", self.schedule)
    self.set_fields(factor=checks.rate("factor", self.factor))

  def corners(self, steps):
    return self.schedule.corners(steps)

  def compute(self, step):
    rate, momentum = self.schedule.compute(step)
    return curves.grown(rate, tf.constant(self.factor, tf.float64)), momentum


@dataclasses.dataclass(frozen=True)
class Product(base.Schedule):
  """The product of several schedules' rates, each on the same clock.

  One of them is a learning rate, the others are usually factors in [0, 1]; a
  factor of more than 1 is as good.

  Args:
    schedules: one or more `Schedule`s, at most one of which sets momentum:
      that is the product's.

  Raises:
    ValueError: if a field breaks its rule.

  >>> parts = [kernels.Cosine(0.1, 40), kernels.StepDecay(1.0, 0.5, 20)]
  >>> kernels.Product(parts)([0, 20, 40]).learning_rate.numpy()
  array([0.1  , 0.025, 0.   ], dtype=float32)
  """

  schedules: tuple

  def __post_init__(self):
    schedules = _several(self.schedules)
    if sum(one.moves_momentum for one in schedules) > 1:
      rule = "schedules of which at most one sets momentum"
      checks.fail("schedules", schedules, rule)
    self.set_fields(schedules=schedules)

  @property
  def total_steps(self):
    """Step at which the last schedule ends, None if one is endless; but the
    earliest end of those that forbid an overrun, if there are any."""
    ends = [one.total_steps for one in self.schedules if not one.overrun]
    if ends:
      return min(ends)
    ends = [one.total_steps for one in self.schedules]
    return None if None in ends else max(ends)

  @property
  def overrun(self):
    """Whether a run may be longer: if all of them say so."""
    return all(one.overrun for one in self.schedules)

  @property
  def warmup_end(self):
    """The last of theirs."""
    return max(one.warmup_end for one in self.schedules)

  def cycle_starts(self, steps):
    found, *rest = sorted(
      (Steps.of(one.cycle_starts(steps)) for one in self.schedules),
      key=len,
      reverse=True,
    )
    for starts in rest:
      if starts:
        both = [one.take(np.arange(len(one))) for one in (found, starts)]
        found = Steps(np.union1d(*both))
    return found

  def corners(self, steps):
    every = (one.corners(steps) for one in self.schedules)
    return list(itertools.chain(*every))

  def compute(self, step):
    (rate, momentum), *rest = [one.compute(step) for one in self.schedules]
    for factor, own in rest:
      rate = curves.grown(rate, factor)
      momentum = own if momentum is None else momentum
    return rate, momentum


def _several(schedules):
  """One or more schedules as a tuple, checked."""
  if not isinstance(schedules, (tuple, list)) or not schedules:
    rule = "a sequence of one or more schedules"
    checks.fail("schedules", schedules, rule)
  return tuple(base.check_schedule("schedules", one) for one in schedules)
