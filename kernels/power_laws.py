"""Schedules that fall as a power of the step, for ever."""

import dataclasses
import math

import tensorflow as tf

from kernels import base, checks, curves, cycles
from kernels.steps import Steps


@dataclasses.dataclass(frozen=True)
class InverseSqrt(base.Schedule):
  """A line up to the peak, then 1 / sqrt(t), for ever.

  Up to warmup_steps initial + (peak - initial) t / warmup_steps, then
  peak / sqrt(1 + (t - warmup_steps) / timescale); with the default timescale
  that is peak sqrt(warmup_steps / t).

  Args:
    peak_lr: rate of step warmup_steps, finite, >= 0.
    warmup_steps: steps of the line, int >= 0.
    initial_lr: rate of step 0 where there is a warmup, finite, >= 0.
    timescale: steps after the peak to peak / sqrt(2), int >= 1; None for
      warmup_steps, or 10000 without a warmup.

  Raises:
    ValueError: if a field breaks its rule.

  Vaswani et al. 2017, "Attention Is All You Need"; the timescale is that of
  Zhai et al. 2022, "Scaling Vision Transformers".

  >>> schedule = kernels.InverseSqrt(0.1, 100)
  >>> schedule([0, 50, 100, 400]).learning_rate.numpy()
  array([0.  , 0.05, 0.1 , 0.05], dtype=float32)
  """

  peak_lr: float
  warmup_steps: int
  initial_lr: float = 0.0
  timescale: int | None = None

  total_steps = None

  def __post_init__(self):
    self.set_fields(
      peak_lr=checks.rate("peak_lr", self.peak_lr),
      warmup_steps=checks.integer("warmup_steps", self.warmup_steps, 0),
      initial_lr=checks.rate("initial_lr", self.initial_lr),
    )
    if self.timescale is not None:
      scale = checks.integer("timescale", self.timescale, 1)
      self.set_fields(timescale=scale)

  @classmethod
  def noam(cls, d_model, warmup_steps, factor=1.0):
    """factor d_model^-0.5 min(n^-0.5, n warmup_steps^-1.5), n = t + 1.

    Args:
      d_model: width of the model, int >= 1.
      warmup_steps: of the paper: update number warmup_steps has the peak, int
        >= 2.
      factor: of the whole, finite, >= 0.

    Returns:
      An `InverseSqrt`.

    Raises:
      ValueError: if an argument breaks its rule.

    Vaswani et al. 2017, equation 3.

    >>> schedule = kernels.InverseSqrt.noam(512, 4000)
    >>> schedule([999, 3999, 15999]).learning_rate.numpy()
    array([0.00017469, 0.00069877, 0.00034939], dtype=float32)
    """
    d_model = checks.integer("d_model", d_model, 1)
    warmup_steps = checks.integer("warmup_steps", warmup_steps, 2)
    factor = checks.rate("factor", factor)
    peak = factor / math.sqrt(d_model) / math.sqrt(warmup_steps)
    return cls(peak, warmup_steps - 1, peak / warmup_steps, warmup_steps)

  @property
  def warmup_end(self):
    """The step that has the peak."""
    return self.warmup_steps

  def compute(self, step):
    warmup = self.warmup_steps
    up = cycles.fractions_of(step, warmup)
    past = tf.cast(tf.maximum(step - warmup, 0), tf.float64)
    scale = float(self.timescale or warmup or 10_000)
    fallen = self.peak_lr / tf.sqrt(1.0 + past / scale)
    line = curves.linear(self.initial_lr, self.peak_lr, *up)
    return tf.where(step < warmup, line, fallen), None

  def corners(self, steps):
    return [Steps([self.warmup_steps]).within(1, steps)]


@dataclasses.dataclass(frozen=True)
class Power(base.Schedule):
  """min(peak, coefficient (t + 1)^exponent), for ever.

  Args:
    peak_lr: highest rate, finite, >= 0.
    coefficient: what the power is multiplied by, finite, > 0: the batch size
      times a factor that was found for tokens, in the paper.
    exponent: finite, < 0.

  Raises:
    ValueError: if a field breaks its rule.

  Shen et al. 2024, "Power Scheduler: A Batch Size and Token Number Agnostic
  Learning Rate Scheduler", without its warmup and decay: see `Warmup`, `Join`.

  >>> schedule = kernels.Power(0.1, 1.0, -0.5)
  >>> schedule([0, 99, 399]).learning_rate.numpy()
  array([0.1 , 0.1 , 0.05], dtype=float32)
  """

  peak_lr: float
  coefficient: float
  exponent: float = -0.51

  total_steps = None

  def __post_init__(self):
    rule = "a finite number < 0"
    self.set_fields(
      peak_lr=checks.rate("peak_lr", self.peak_lr),
      coefficient=checks.positive("coefficient", self.coefficient),
      exponent=checks.number("exponent", self.exponent, rule, lambda v: v < 0),
    )

  def compute(self, step):
    exponent = tf.constant(self.exponent, tf.float64)
    power = tf.pow(tf.cast(step, tf.float64) + 1.0, exponent)
    peak = tf.constant(self.peak_lr, tf.float64)
    return tf.minimum(peak, self.coefficient * power), None

  def corners(self, steps):
    if not self.peak_lr:
      return [Steps()]
    # A rate below the coefficient holds from where the power has met it.
    way = math.log(self.coefficient / self.peak_lr) / -self.exponent
    first = math.ceil(math.exp(way)) - 1 if way < 43 else 0
    return [Steps([first] if first > 0 else []).within(1, steps)]
