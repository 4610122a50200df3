"""Keras' schedules as kernels."""

import dataclasses

import keras
import tensorflow as tf

from kernels import base, checks, decay, warmup
from kernels.cosine_restarts import CosineRestarts

_KERAS = keras.optimizers.schedules


@dataclasses.dataclass(frozen=True)
class KerasSchedule(base.Schedule):
  """Any Keras schedule, evaluated by Keras in float32.

  Unlike a kernel's, its bits may differ between graph and XLA.

  Args:
    keras_schedule: a `keras.optimizers.schedules.LearningRateSchedule`.
    momentum: coefficient in [0, 1), or None to leave momentum alone.

  Raises:
    ValueError: if a field breaks its rule.
  """

  keras_schedule: object
  momentum: float | None = None

  total_steps = None

  def __post_init__(self):
    if not isinstance(self.keras_schedule, _KERAS.LearningRateSchedule):
      kind = type(self.keras_schedule).__name__
      checks.fail("keras_schedule", kind, "a Keras LearningRateSchedule")
    momentum = checks.coefficient("momentum", self.momentum)
    self.set_fields(momentum=momentum)

  def compute(self, step):
    flat = tf.reshape(step, [-1])
    rates = tf.map_fn(
      lambda t: tf.cast(self.keras_schedule(t), tf.float32),
      flat,
      fn_output_signature=tf.TensorSpec([], tf.float32),
    )
    rates = tf.cast(tf.reshape(rates, tf.shape(step)), tf.float64)
    momentum = None
    if self.momentum is not None:
      momentum = self.momentum * tf.ones_like(rates)
    return rates, momentum


def from_keras(keras_schedule):
  """The kernel with a Keras schedule's values, exact where Keras rounds.

  A restart falls on the exact step, where Keras' float logarithm misses some.

  Args:
    keras_schedule: a `keras.optimizers.schedules.LearningRateSchedule`.

  Returns:
    A kernel; a `KerasSchedule` where no kernel has the same formula.

  Raises:
    ValueError: if it is no Keras schedule, or has values no rate may have.
  """
  for kind, translate in _TRANSLATIONS.items():
    if type(keras_schedule) is kind:
      found = translate(**keras_schedule.get_config())
      if found is not None:
        return found
  return KerasSchedule(keras_schedule)


def _cosine(
  initial_learning_rate,
  decay_steps,
  alpha,
  warmup_target,
  warmup_steps,
  **_,
):
  if warmup_target is None:
    end = alpha * initial_learning_rate
    return decay.Cosine(initial_learning_rate, decay_steps, end)
  return warmup.WarmupCosine(
    peak_lr=warmup_target,
    warmup_steps=warmup_steps,
    total_steps=warmup_steps + decay_steps,  # Keras counts them apart
    initial_lr=initial_learning_rate,
    final_lr=alpha * warmup_target,
  )


def _restarts(
  initial_learning_rate, first_decay_steps, t_mul, m_mul, alpha, **_
):
  whole = float(t_mul).is_integer()
  if not whole or (alpha and m_mul != 1):  # cycles or floors of another kind
    return None
  return CosineRestarts(
    peak_lr=initial_learning_rate,
    cycle_steps=first_decay_steps,
    cycle_mult=t_mul,
    peak_decay=m_mul,
    floor_lr=alpha * initial_learning_rate,
  )


def _exponential(
  initial_learning_rate, decay_steps, decay_rate, staircase, **_
):
  return decay.Exponential(
    initial_learning_rate, decay_steps, decay_rate, staircase
  )


def _inverse(initial_learning_rate, decay_steps, decay_rate, staircase, **_):
  return decay.InverseTime(
    initial_learning_rate, decay_steps, decay_rate, staircase
  )


def _polynomial(
  initial_learning_rate, decay_steps, end_learning_rate, power, cycle, **_
):
  return decay.Polynomial(
    initial_learning_rate, end_learning_rate, decay_steps, power, cycle
  )


def _piecewise(boundaries, values, **_):
  # Keras keeps the old value at a boundary; a kernel has the new one there.
  return decay.PiecewiseConstant([b + 1 for b in boundaries], values)


_TRANSLATIONS = {
  _KERAS.CosineDecay: _cosine,
  _KERAS.CosineDecayRestarts: _restarts,
  _KERAS.ExponentialDecay: _exponential,
  _KERAS.InverseTimeDecay: _inverse,
  _KERAS.PiecewiseConstantDecay: _piecewise,
  _KERAS.PolynomialDecay: _polynomial,
}
