"""Exact first, last and boundary values, as the docstrings state them."""

import numpy as np
import pytest

import kernels


def rates(schedule, *steps):
  return kernels.tabulate(schedule, np.array(steps, np.int64))[0].tolist()


def f32(*values):
  return [float(np.float32(v)) for v in values]


@pytest.mark.parametrize("total", [1, 2, 3, 10, 97, 100, 1000])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.29, 0.3, 0.5, 1.0])
def test_one_cycle_ends_exactly(total, share):
  schedule = kernels.OneCycle(0.3, total, share)
  final = 0.3 / 25 / 1e4
  assert rates(schedule, total - 1, total, 2**40) == f32(final, final, final)
  assert max(rates(schedule, *range(total))) <= f32(0.3)[0]
  if share * total > 1 and total > 1:
    assert rates(schedule, 0) == f32(0.3 / 25)


def test_one_cycle_peak_is_on_its_step():
  for share, step in ((0.29, 28), (0.3, 29), (0.1, 9)):
    schedule = kernels.OneCycle(0.3, 100, share)
    assert rates(schedule, step) == f32(0.3)
    assert schedule(step).momentum.numpy() == np.float32(0.85)


@pytest.mark.parametrize("mult", [1, 1.1, 1.5, 2, 3, 10])
@pytest.mark.parametrize("first", [1, 10, 390])
def test_restart_steps_have_the_peak(mult, first):
  schedule = kernels.CosineRestarts(0.1, first, mult)
  starts = schedule.cycle_starts(2**40)[:40] if mult > 1 else None
  if starts is None:
    starts = [first * (i + 1) for i in range(40)]
  assert rates(schedule, *starts) == f32(*[0.1] * len(starts))
  longer = [s for s, e in zip(starts[1:], starts, strict=False) if s - e > 1]
  before = rates(schedule, *[s - 1 for s in longer])
  assert all(rate < f32(0.1)[0] for rate in before)


def test_the_multiplier_is_the_decimal_written():
  assert kernels.CosineRestarts(1.0, 10, 1.1).cycle_starts(40) == [10, 21, 34]


def test_cycles_end_at_the_floor():
  schedule = kernels.CosineRestarts(
    0.1, 3, 2, floor_lr=0.01, cycles=2, momentum=(0.9, 0.8)
  )
  assert schedule.total_steps == 9
  assert rates(schedule, 9, 10, 2**40) == f32(0.01, 0.01, 0.01)
  assert schedule(9).momentum.numpy() == np.float32(0.9)
  assert schedule.cycle_starts(100) == [3, 9]


def test_triangular_base_and_peak():
  schedule = kernels.Triangular(0.001, 0.3, 6, 9)
  assert rates(schedule, 0, 6, 15, 21) == f32(0.001, 0.3, 0.001, 0.3)
  assert schedule.cycle_starts(40) == [15, 30]


def test_range_sweep_ends():
  for spacing in ("exponential", "linear"):
    schedule = kernels.RangeSweep(1e-7, 10.0, 100, spacing)
    assert rates(schedule, 0, 99, 100) == f32(1e-7, 10.0, 10.0)


def test_warmup_cosine_joints():
  schedule = kernels.WarmupCosine(0.3, 10, 50, 5, 0.01, 0.02)
  want = f32(0.01, 0.3, 0.3, 0.02, 0.02)
  assert rates(schedule, 0, 10, 15, 50, 51) == want


def test_small_rates_keep_their_digits():
  last = rates(kernels.Cosine(1.0, 10**6), 10**6 - 1)[0]
  exact = np.sin(np.pi / 2 * 1e-6) ** 2
  assert abs(last - exact) <= 1e-7 * exact
