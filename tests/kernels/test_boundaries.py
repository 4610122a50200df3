"""Exact first, last and boundary values, as the docstrings state them."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import kernels
from kernels import cycles


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


@pytest.mark.parametrize(
  "mult", [(1, 1), (11, 10), (3, 2), (2, 1), (3, 1), (10, 1)]
)
@pytest.mark.parametrize("first", [1, 10, 390])
def test_restart_steps_have_the_peak(mult, first):
  up, down = mult
  starts, length = [first], first
  while len(starts) < 40 and starts[-1] < 2**40:
    length = -(-length * up // down)  # in integers, rounded up
    starts.append(starts[-1] + length)
  schedule = kernels.CosineRestarts(0.1, first, up / down)
  assert schedule.cycle_starts(starts[-1] + 1) == starts
  assert rates(schedule, *starts) == f32(*[0.1] * len(starts))
  before = [s - 1 for s, e in zip(starts, [0, *starts], strict=False)
            if s - e > 1]  # fmt: skip
  assert all(rate < f32(0.1)[0] for rate in rates(schedule, *before))
  for t in [*starts[::5], starts[-1]]:  # and one step at a time
    assert schedule(t).learning_rate == np.float32(0.1)


def test_the_multiplier_is_the_decimal_written():
  assert kernels.CosineRestarts(1.0, 10, 1.1).cycle_starts(40) == [10, 21, 34]


def test_cycles_end_at_the_floor():
  schedule = kernels.CosineRestarts(
    0.1, 3, 2, floor_lr=0.01, cycles=2, momentum=(0.9, 0.8)
  )
  assert schedule.total_steps == 9
  assert rates(schedule, 9, 10, 2**40) == f32(0.01, 0.01, 0.01)
  assert schedule(9).momentum.numpy() == np.float32(0.9)
  assert schedule.cycle_starts(100) == [3]  # 9 is the end


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


@pytest.mark.parametrize("size", [1, 2, 16, 17, 33, 430])
def test_one_step_and_many_find_the_same_cycle(size):
  starts = [0, *np.cumsum(np.arange(1, size)).tolist()]
  steps = sorted({s + d for s in [*starts, 2**40] for d in (-1, 0, 1)} - {-1})
  many = cycles.locate(tf.constant(steps, tf.int64), starts).numpy()
  one = [cycles.locate(tf.constant(t, tf.int64), starts) for t in steps]
  want = [sum(start <= t for start in starts) - 1 for t in steps]
  assert many.tolist() == [int(found) for found in one] == want


def test_warmup_stable_decay_joints():
  for decay in ("linear", "cosine", "sqrt"):
    schedule = kernels.WarmupStableDecay(0.3, 10, 50, 5, 0.01, 0.02, decay)
    assert schedule.total_steps == 65
    want = f32(0.01, 0.3, 0.3, 0.02, 0.02, 0.02)
    assert rates(schedule, 0, 10, 60, 65, 66, 2**40) == want
  last = rates(
    kernels.WarmupStableDecay(1.0, 0, 0, 10**6, decay="sqrt"), 999999
  )
  exact = 1e-6 / (1 + np.sqrt(1 - 1e-6))
  assert abs(last[0] - exact) <= 1e-7 * exact


def test_warmup_stable_decay_begins_again_at_the_peak():
  schedule = kernels.WarmupStableDecay(0.3, 10, 50, 5, cycles=3)
  assert schedule.total_steps == 10 + 3 * 55
  assert schedule.cycle_starts(1000) == [65, 120]
  assert schedule.cycle_starts(66) == [65]
  found = rates(schedule, 10, 60, 65, 66, 115, 120, 121, 174, 175, 2**40)
  assert found == f32(0.3, 0.3, 0, 0.3, 0.3, 0, 0.3, 0.06, 0, 0)
  endless = dataclasses.replace(schedule, cycles=None)
  assert endless.total_steps is None
  assert endless.cycle_starts(176) == [65, 120, 175]
  far = 10 + 55 * 2**40
  assert rates(endless, far - 1, far, far + 1) == f32(0.06, 0, 0.3)
  once = dataclasses.replace(schedule, cycles=1)
  for step in range(66):
    assert rates(once, step) == rates(schedule, step)


def test_compositions_add_up():
  cycle = kernels.OneCycle(0.3, 40)
  restarts = kernels.CosineRestarts(0.3, 10, 2.0, momentum=(0.9, 0.8))
  ended = dataclasses.replace(restarts, cycles=2)
  joined = kernels.Join([cycle, restarts], [40])
  assert joined.total_steps is None and joined.overrun
  assert joined.cycle_starts(111) == [40, 50, 70, 110]
  assert joined.cycle_starts(40) == []
  assert kernels.Join([restarts, ended], [35]).cycle_starts(70) == [
    *[10, 30, 35],
    45,  # 65 is the end
  ]
  assert kernels.Join([restarts, ended], [35]).total_steps == 65
  assert kernels.Join([restarts, cycle], [35]).overrun is False
  warm = kernels.Warmup(kernels.Scaled(cycle, 2.0), 5)
  assert warm.total_steps == 45 and not warm.overrun
  assert kernels.Warmup(restarts, 5).cycle_starts(36) == [15, 35]
  assert kernels.Scaled(ended, 0.5).cycle_starts(99) == [10]
  assert rates(warm, 5, 44) == f32(2 * (0.3 / 25), 2 * (0.3 / 25 / 1e4))
  assert warm(0).momentum == warm(5).momentum == np.float32(0.95)


def test_a_warmup_over_a_schedule_that_runs():
  restarts = kernels.CosineRestarts(0.3, 10, 2.0, momentum=(0.9, 0.8))
  over = kernels.Warmup(restarts, 12, 0.1, shift=False)
  assert over.total_steps is None and over.warmup_end == 12
  assert over.cycle_starts(80) == [30, 70]  # 10 is under the line
  assert rates(over, 0, 6) == f32(0.1, 0.2)
  steps = [12, 13, 29, 30, 31, 2**40]
  assert rates(over, *steps) == rates(restarts, *steps)
  assert over(11).momentum == restarts(0).momentum
  cycle = kernels.Warmup(kernels.OneCycle(0.3, 40), 5, shift=False)
  assert cycle.total_steps == 40 and not cycle.overrun
  assert cycle.warmup_end == kernels.OneCycle(0.3, 40).warmup_end
  assert kernels.Warmup(kernels.Constant(0.1), 0, shift=False)(
    0
  ).learning_rate == np.float32(0.1)


def test_a_product_of_schedules():
  restarts = kernels.CosineRestarts(0.3, 10, 2.0, momentum=(0.9, 0.8))
  drops = kernels.StepDecay(1.0, 0.5, 15)
  both = kernels.Product([drops, restarts])
  assert both.total_steps is None and both.overrun
  assert rates(both, 0, 10, 30) == f32(0.3, 0.3, 0.3 * 0.25)
  assert both(4).momentum == restarts(4).momentum
  warm = kernels.WarmupCosine(0.3, 7, 50)
  ended = kernels.Product(
    [kernels.Linear(1.0, 0.5, 20), warm, kernels.Warmup(restarts, 3)]
  )
  assert ended.warmup_end == 7
  assert ended.cycle_starts(40) == [13, 33]
  assert kernels.Product([warm, kernels.Linear(1.0, 0.0, 20)]).total_steps == 50
  strict = kernels.Product([warm, kernels.OneCycle(1.0, 30, momentum=None)])
  assert strict.total_steps == 30 and not strict.overrun


HUGE = (2**53 - 1, 2**53 + 1, 2**54, 2**61 + 1, 2**62 - 1)


@pytest.mark.parametrize("total", HUGE)
@pytest.mark.parametrize(
  "fields",
  [
    *({"phase_ends": one} for one in ("last_step", "total", "whole", "halves")),
    {"warmup_fraction": 0.0},
    {"warmup_fraction": 1.0},
    {"warmup_fraction": 0.5, "three_phase": True},
    {"warmup_fraction": 0.1, "three_phase": True, "anneal": "linear"},
  ],
  ids=str,
)
def test_one_cycle_ends_at_any_length(total, fields):
  """Where float64 can't tell a step from the next one."""
  schedule = kernels.OneCycle(0.3, total, **fields)
  final = 0.3 / 25 / 1e4
  after = [2**62, 2**63 - 1]
  assert rates(schedule, *after) == f32(final, final)
  assert schedule(after[0]).momentum == np.float32(0.95)
  steps = np.array([0, 1, total // 2, total - 2, total - 1, total], np.int64)
  found, momenta = kernels.tabulate(schedule, steps)
  assert ((found >= np.float32(final)) & (found <= np.float32(0.3))).all()
  assert ((momenta >= np.float32(0.85)) & (momenta <= np.float32(0.95))).all()


@pytest.mark.parametrize(
  ("schedule", "last"),
  [
    (kernels.Exponential(0.1, 1, 2.0), 3.4028234663852886e38),
    (kernels.Exponential(0.1, 1, 2.0, end_lr=1.0), 1.0),
    (kernels.Exponential(0.1, 1, 0.5, end_lr=0.01), 0.01),
    (kernels.Exponential(0.0, 1, 2.0), 0.0),
    (kernels.StepDecay(0.0, 2.0, 1), 0.0),
    (kernels.StepDecay(0.1, 2.0, 1), 3.4028234663852886e38),
    (kernels.Scaled(kernels.Constant(1e30), 1e30), 3.4028234663852886e38),
    (
      kernels.Product(
        [kernels.Exponential(0.1, 1, 2.0), kernels.Linear(1.0, 0.0, 9)]
      ),
      0.0,
    ),
  ],
  ids=repr,
)
def test_what_grows_stays_finite(schedule, last):
  assert rates(schedule, 5000, 2**40, 2**63 - 1) == f32(last, last, last)


@pytest.mark.parametrize("warmup", [0, 5, 10])
def test_a_decay_of_no_steps_still_ends(warmup):
  schedule = kernels.WarmupCosine(
    0.1, warmup, 10, 10 - warmup, final_lr=0.001, momentum=(0.95, 0.85)
  )
  assert rates(schedule, 10, 11) == f32(0.001, 0.001)
  assert schedule(10).momentum.numpy() == np.float32(0.95)
  if warmup < 10:
    assert rates(schedule, warmup, 9) == f32(0.1, 0.1)


def test_many_cycles_cost_nothing():
  schedule = kernels.CosineRestarts(0.1, 10, cycles=10**9, floor_lr=0.01)
  assert schedule.total_steps == 10**10
  last = 10**10 - 10
  assert rates(schedule, last, 10**10, 2**40) == f32(0.1, 0.01, 0.01)
  endless = kernels.CosineRestarts(0.1, 2**60, cycles=10**9)
  assert rates(endless, 2**60) == f32(0.1)


def test_rates_past_float32_are_refused():
  for make, name in (
    (lambda: kernels.Constant(1e300), "learning_rate"),
    (lambda: kernels.RangeSweep(1e-300, 1e300, 5), "max_lr"),
    (lambda: kernels.OneCycle(1.0, 10, initial_div=1e-300), "initial_div"),
    (lambda: kernels.OneCycle(1.0, 10, final_div=1e-300), "final_div"),
    (lambda: kernels.CosineRestarts(1.0, 2**63), "cycle_steps"),
    (lambda: kernels.Triangular(0.0, 1.0, 2**62), "half_cycle_steps"),
    (lambda: kernels.CosineRestarts(1.0, 10, 1.000001), "cycle_mult"),
  ):
    with pytest.raises(ValueError, match=f"`{name}` must be"):
      make()
  tiny = kernels.RangeSweep(1e-300, 1e30, 5)
  assert np.isfinite(rates(tiny, *range(5))).all()
  zero = kernels.CosineRestarts(0.0, 1, peak_decay=2.0)
  assert rates(zero, 5000) == [0.0]


def test_a_config_that_is_not_whole():
  for config, match in (
    ({"kernel": "Constant"}, "is not whole"),
    ({"kernel": "Constant", "rate": 1.0}, "must be one of learning_rate"),
  ):
    with pytest.raises(ValueError, match=match):
      kernels.from_config(config)
