"""Keras' own schedules as kernels."""

import keras
import numpy as np
import pytest

import kernels

K = keras.optimizers.schedules
STEPS = 90


@pytest.mark.parametrize(
  "schedule",
  [
    K.CosineDecay(0.3, 40, alpha=0.1),
    K.CosineDecay(0.01, 40, 0.1, warmup_target=0.3, warmup_steps=10),
    K.CosineDecayRestarts(0.3, 10, t_mul=2.0, m_mul=0.9),
    K.CosineDecayRestarts(0.3, 10, t_mul=1.0, alpha=0.1),
    K.ExponentialDecay(0.3, 10, 0.5),
    K.ExponentialDecay(0.3, 10, 0.5, staircase=True),
    K.InverseTimeDecay(0.3, 10, 0.5),
    K.InverseTimeDecay(0.3, 10, 0.5, staircase=True),
    K.PiecewiseConstantDecay([10, 20], [0.3, 0.2, 0.1]),
    K.PolynomialDecay(0.3, 40, 0.01, 2.0),
    K.PolynomialDecay(0.3, 40, 0.01, 2.0, cycle=True),
  ],
  ids=lambda s: f"{type(s).__name__}-{hash(repr(s.get_config())) % 1000}",
)
def test_a_kernel_with_the_same_values(schedule):
  kernel = kernels.from_keras(schedule)
  assert not isinstance(kernel, kernels.interop.KerasSchedule)
  rates = kernels.tabulate(kernel, STEPS)[0]
  want = [float(schedule(t)) for t in range(STEPS)]
  np.testing.assert_allclose(rates, want, rtol=2e-5, atol=1e-7)


def test_right_where_keras_is_wrong():
  schedule = K.CosineDecayRestarts(0.1, 10, t_mul=2.0)
  step = 81910  # the 13th restart
  assert float(schedule(step)) < 1e-6
  rate = kernels.from_keras(schedule)(step).learning_rate
  assert float(rate) == np.float32(0.1)


class Own(K.LearningRateSchedule):
  def __call__(self, step):
    return 0.1 / (1.0 + keras.ops.cast(step, "float32"))


@pytest.mark.parametrize(
  "schedule",
  [Own(), K.CosineDecayRestarts(0.3, 10, t_mul=1.5, alpha=0.1)],
  ids=["own", "odd restarts"],
)
def test_anything_else_is_evaluated_by_keras(schedule):
  kernel = kernels.from_keras(schedule)
  rates = kernels.tabulate(kernel, 6)[0]
  want = [float(schedule(t)) for t in range(6)]
  np.testing.assert_allclose(rates, want, rtol=1e-5)
  assert kernel(3).learning_rate.shape == ()
  with pytest.raises(ValueError, match="`keras_schedule` must be"):
    kernels.interop.KerasSchedule(0.1)
