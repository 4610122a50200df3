"""Cyclical learning rates: straight lines up and down."""

import dataclasses

import tensorflow as tf

from kernels import base, checks, curves, cycles
from kernels.steps import Steps

_MODES = ("triangular", "triangular2", "exp_range")


@dataclasses.dataclass(frozen=True)
class Triangular(base.Schedule):
  """CLR: a line from base to peak, a line back, for ever.

  With f the fraction of the way up and s the mode's scale (1, 1/2^cycle, or
  gamma^t): base + (peak - base) f s. With `final_lr` the leg down ends there
  instead of at base: final + (base + (peak - base) s - final) f.
  t = 0 is base, t = half_cycle_steps is peak, both exactly.

  Args:
    base_lr: bottom of a cycle, finite, >= 0.
    peak_lr: top of cycle 0, finite, >= 0.
    half_cycle_steps: steps of the leg up (Smith's "stepsize"), int >= 1.
    half_cycle_down_steps: steps of the leg down, int >= 1; None: the same.
    mode: "triangular", "triangular2" or "exp_range".
    gamma: base of exp_range's scale, in (0, 1].
    final_lr: where the leg down ends, or None for base_lr.
    momentum: (at low lr, at high lr) or None; runs opposite, same scale.

  Raises:
    ValueError: if a field breaks its rule.

  Smith 2017, "Cyclical Learning Rates for Training Neural Networks".

  >>> kernels.Triangular(0.0, 0.1, 10)([0, 5, 10, 15, 20]).learning_rate.numpy()
  array([0.  , 0.05, 0.1 , 0.05, 0.  ], dtype=float32)
  """

  base_lr: float
  peak_lr: float
  half_cycle_steps: int
  half_cycle_down_steps: int | None = None
  mode: str = "triangular"
  gamma: float = 1.0
  final_lr: float | None = None
  momentum: tuple | None = None

  total_steps = None

  def __post_init__(self):
    down = self.half_cycle_down_steps
    if down is not None:
      down = checks.integer("half_cycle_down_steps", down, 1)
    final = self.final_lr
    if final is not None:
      final = checks.rate("final_lr", final)
    self.set_fields(
      base_lr=checks.rate("base_lr", self.base_lr),
      peak_lr=checks.rate("peak_lr", self.peak_lr),
      half_cycle_steps=checks.integer(
        "half_cycle_steps", self.half_cycle_steps, 1
      ),
      half_cycle_down_steps=down,
      mode=checks.choice("mode", self.mode, _MODES),
      gamma=checks.number(
        "gamma", self.gamma, "a number in (0, 1]", lambda v: 0 < v <= 1
      ),
      final_lr=final,
      momentum=checks.momentum_pair("momentum", self.momentum),
    )

  @property
  def _down(self):
    return self.half_cycle_down_steps or self.half_cycle_steps

  def cycle_starts(self, steps):
    cycle = self.half_cycle_steps + self._down
    return Steps(range(cycle, steps, cycle))

  def corners(self, steps):
    cycle = self.half_cycle_steps + self._down
    peaks = Steps(range(self.half_cycle_steps, steps, cycle))
    return [self.cycle_starts(steps), peaks]

  def compute(self, step):
    up_steps, down_steps = self.half_cycle_steps, self._down
    cycle, position = (
      step // (up_steps + down_steps),
      step % (up_steps + down_steps),
    )
    rises = position <= up_steps
    up, up_left = cycles.fractions_of(position, up_steps)
    fallen, down = cycles.fractions_of(position - up_steps, down_steps)
    high = tf.where(rises, up, down)
    low = tf.where(rises, up_left, fallen)
    scale = self._scale(step, cycle)
    base = tf.constant(self.base_lr, tf.float64)
    peak = curves.linear(base, self.peak_lr, scale, 1.0 - scale)
    bottom = base
    if self.final_lr is not None:
      bottom = tf.where(rises, base, tf.cast(self.final_lr, tf.float64))
    learning_rate = curves.linear(bottom, peak, high, low)
    momentum = None
    if self.momentum is not None:
      part = high * scale
      momentum = curves.linear(*self.momentum, part, 1.0 - part)
    return learning_rate, momentum

  def _scale(self, step, cycle):
    if self.mode == "triangular2":
      return tf.pow(tf.constant(0.5, tf.float64), tf.cast(cycle, tf.float64))
    if self.mode == "exp_range":
      gamma = tf.constant(self.gamma, tf.float64)
      return tf.pow(gamma, tf.cast(step, tf.float64))
    return tf.ones_like(step, tf.float64)
