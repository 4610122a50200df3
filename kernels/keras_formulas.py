"""Kernels with the formulas of Keras' schedules, from their configs.

A translation returns None where no kernel has the same values.
"""

from kernels import decay, piecewise, warmup
from kernels.cosine_restarts import CosineRestarts


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
  return piecewise.PiecewiseConstant([b + 1 for b in boundaries], values)


TRANSLATIONS = {
  "CosineDecay": _cosine,
  "CosineDecayRestarts": _restarts,
  "ExponentialDecay": _exponential,
  "InverseTimeDecay": _inverse,
  "PiecewiseConstantDecay": _piecewise,
  "PolynomialDecay": _polynomial,
}
