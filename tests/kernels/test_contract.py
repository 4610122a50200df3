"""The contract that every kernel keeps, against float64 NumPy."""

import dataclasses
import json
import math

import numpy as np
import pytest
import tensorflow as tf

import kernels
from support import numpy_schedules as ref

PAIR = (0.95, 0.85)


def stable_cycles(t, count):
  """WSD-S: a warmup of 7; then in each cycle 10 steps at the peak, 5 down."""
  if t <= 7:
    return 1e-3 + (0.3 - 1e-3) * t / 7, None
  place = t - 7
  if count is not None and place >= 15 * count:
    return 1e-5, None
  place = (place - 1) % 15 + 1
  x = max(0, place - 10) / 5
  return 1e-5 + (0.3 - 1e-5) * (1 - x), None


def restarts_reference(t):
  lengths = [10, 11, 13, 15, 17, 19, 21, 24]
  return ref.cosine_restarts(t, 0.3, lengths, 0.9, 1e-4, PAIR)


def cycle_reference(t):
  ends = [8.0, 29.0]
  return ref.one_cycle(t, [0.012, 0.3, 1.2e-6], [*PAIR, 0.95], ends, ref.cosine)


RESTARTS = kernels.CosineRestarts(0.3, 10, 1.1, 0.9, 1e-4, momentum=PAIR)
# (schedule, reference(t) -> (lr, momentum or None), allowed ulp)
CASES = [
  (kernels.Constant(0.3), lambda t: (0.3, None), 1),
  (kernels.Constant(1e-30, 0.9), lambda t: (1e-30, 0.9), 1),
  (
    kernels.Linear(0.3, 1e-7, 40),
    lambda t: (ref.linear(0.3, 1e-7, min(t / 40, 1)), None),
    1,
  ),
  (
    kernels.Cosine(0.3, 40, 1e-5),
    lambda t: (ref.cosine(0.3, 1e-5, min(t / 40, 1)), None),
    1,
  ),
  (
    kernels.Polynomial(0.3, 1e-3, 40, 2.5),
    lambda t: ref.polynomial(t, 0.3, 1e-3, 40, 2.5, False),
    4,
  ),
  (
    kernels.Polynomial(0.3, 1e-3, 40, 0.5, cycle=True),
    lambda t: ref.polynomial(t, 0.3, 1e-3, 40, 0.5, True),
    4,
  ),
  (
    kernels.Exponential(0.3, 7, 0.6),
    lambda t: (0.3 * 0.6 ** (t / 7), None),
    4,
  ),
  (
    kernels.Exponential(0.3, 7, 0.6, staircase=True),
    lambda t: (0.3 * 0.6 ** (t // 7), None),
    4,
  ),
  (
    kernels.Exponential(0.3, 7, 0.6, end_lr=0.01),
    lambda t: (max(0.3 * 0.6 ** (t / 7), 0.01), None),
    4,
  ),
  (
    kernels.Exponential(0.003, 7, 1.5, staircase=True, end_lr=0.5),
    lambda t: (min(0.003 * 1.5 ** (t // 7), 0.5), None),
    4,
  ),
  (
    kernels.InverseTime(0.3, 7, 0.6),
    lambda t: (0.3 / (1 + 0.6 * t / 7), None),
    1,
  ),
  (
    kernels.InverseSqrt(0.3, 7, 0.01),
    lambda t: (
      0.01 + 0.29 * t / 7 if t < 7 else 0.3 / (1 + (t - 7) / 7) ** 0.5,
      None,
    ),
    4,
  ),
  (
    kernels.InverseSqrt.noam(64, 9, 2.0),
    lambda t: (2 / 8 * min((t + 1) ** -0.5, (t + 1) * 9**-1.5), None),
    4,
  ),
  (
    kernels.Power(0.3, 1.0, -0.7),
    lambda t: (min(0.3, (t + 1) ** -0.7), None),
    4,
  ),
  (
    kernels.StepDecay(0.3, 0.5, 9),
    lambda t: (0.3 * 0.5 ** (t // 9), None),
    4,
  ),
  (
    kernels.PiecewiseConstant([5, 20], [0.3, 0.2, 0.1]),
    lambda t: ((0.3, 0.2, 0.1)[(t >= 5) + (t >= 20)], None),
    1,
  ),
  (
    kernels.CosineRestarts(0.3, 7, momentum=PAIR),
    lambda t: ref.cosine_restarts(t, 0.3, [7], momentum=PAIR),
    1,
  ),
  (RESTARTS, restarts_reference, 4),
  (
    kernels.CosineRestarts(0.3, 10, 0.5, round_to=2),
    lambda t: ref.cosine_restarts(t, 0.3, [10, 6, 4, 2]),
    1,
  ),
  (
    kernels.Triangular(1e-3, 0.3, 6, momentum=PAIR),
    lambda t: ref.triangular(t, 1e-3, 0.3, 6, 6, momentum=PAIR),
    1,
  ),
  (
    kernels.Triangular(1e-3, 0.3, 6, 9, "triangular2", momentum=PAIR),
    lambda t: ref.triangular(
      t, 1e-3, 0.3, 6, 9, lambda c, t: 0.5**c, momentum=PAIR
    ),
    4,
  ),
  (
    kernels.Triangular(1e-3, 0.3, 6, 9, "exp_range", 0.99, final_lr=1e-5),
    lambda t: ref.triangular(
      t, 1e-3, 0.3, 6, 9, lambda c, t: 0.99**t, final=1e-5
    ),
    4,
  ),
  (
    kernels.OneCycle(0.3, 100),
    lambda t: ref.one_cycle(
      t, [0.012, 0.3, 1.2e-6], [0.95, 0.85, 0.95], [29.0, 99.0], ref.cosine
    ),
    1,
  ),
  (
    kernels.OneCycle(0.3, 100, 0.29, anneal="linear", three_phase=True),
    lambda t: ref.one_cycle(
      t,
      [0.012, 0.3, 0.012, 1.2e-6],
      [0.95, 0.85, 0.95, 0.95],
      [28.0, 56.0, 99.0],
      ref.linear,
    ),
    1,
  ),
  (
    kernels.OneCycle.preset("fastai", 0.3, 101),
    lambda t: ref.one_cycle(
      t, [0.012, 0.3, 3e-6], [0.95, 0.85, 0.95], [25.25, 101.0], ref.cosine
    ),
    1,
  ),
  (
    kernels.OneCycle.preset("ktrain", 0.3, 101),
    lambda t: ref.one_cycle(
      t, [0.03, 0.3, 3e-4], [0.95, 0.85, 0.95], [51.0, 102.0], ref.linear
    ),
    1,
  ),
  (
    kernels.OneCycle.preset("optax", 0.3, 101),
    lambda t: ref.one_cycle(
      t, [0.012, 0.3, 1.2e-6], None, [30.0, 101.0], ref.cosine
    ),
    1,
  ),
  (
    kernels.WarmupCosine(0.3, 7, 60, 9, 1e-3, 1e-5, PAIR),
    lambda t: ref.warmup_cosine(t, 0.3, 7, 60, 9, 1e-3, 1e-5, PAIR),
    1,
  ),
  (
    kernels.RangeSweep(1e-7, 10.0, 77),
    lambda t: ref.range_sweep(t, 1e-7, 10.0, 77, "exponential"),
    4,
  ),
  (
    kernels.RangeSweep(1e-7, 10.0, 77, "linear"),
    lambda t: ref.range_sweep(t, 1e-7, 10.0, 77, "linear"),
    1,
  ),
  *(
    (
      kernels.WarmupStableDecay(0.3, 7, 40, 30, 1e-3, 1e-5, shape),
      lambda t, shape=shape: ref.warmup_stable_decay(
        t, 0.3, 7, 40, 30, 1e-3, 1e-5, shape
      ),
      1,
    )
    for shape in ("linear", "cosine", "sqrt")
  ),
  *(
    (
      kernels.WarmupStableDecay(0.3, 7, 10, 5, 1e-3, 1e-5, cycles=count),
      lambda t, count=count: stable_cycles(t, count),
      1,
    )
    for count in (3, None)
  ),
  (
    kernels.Join([kernels.OneCycle(0.3, 30), RESTARTS], [30]),
    lambda t: ref.join(t, [cycle_reference, restarts_reference], [30]),
    4,
  ),
  (
    kernels.Join(
      [
        kernels.Linear(0.0, 0.3, 10),
        kernels.Constant(0.3),
        kernels.Cosine(0.3, 30, 1e-6),
      ],
      [10, 50],
    ),
    lambda t: ref.join(
      t,
      [
        lambda t: (ref.linear(0.0, 0.3, t / 10), None),
        lambda t: (0.3, None),
        lambda t: (ref.cosine(0.3, 1e-6, min(t / 30, 1)), None),
      ],
      [10, 50],
    ),
    1,
  ),
  (
    kernels.Warmup(RESTARTS, 9, 1e-4),
    lambda t: ref.warm_up(t, restarts_reference, 9, 1e-4),
    4,
  ),
  (
    kernels.Warmup(RESTARTS, 9, 1e-4, shift=False),
    lambda t: ref.warm_over(t, restarts_reference, 9, 1e-4),
    4,
  ),
  (
    kernels.Warmup(kernels.Cosine(0.3, 40, 1e-5), 13, shift=False),
    lambda t: ref.warm_over(
      t, lambda t: (ref.cosine(0.3, 1e-5, min(t / 40, 1)), None), 13, 0.0
    ),
    1,
  ),
  (
    kernels.Product([kernels.StepDecay(1.0, 0.5, 9), RESTARTS]),
    lambda t: (
      restarts_reference(t)[0] * 0.5 ** (t // 9),
      restarts_reference(t)[1],
    ),
    4,
  ),
  (
    kernels.Product(
      [
        kernels.OneCycle(0.3, 100),
        kernels.Linear(0.0, 1.0, 20),
        kernels.Constant(0.5),
      ]
    ),
    lambda t: (
      0.5
      * min(t / 20, 1)
      * ref.one_cycle(t, [0.012, 0.3, 1.2e-6], None, [29.0, 99.0], ref.cosine)[
        0
      ],
      ref.one_cycle(
        t, [0.012, 0.3, 1.2e-6], [0.95, 0.85, 0.95], [29.0, 99.0], ref.cosine
      )[1],
    ),
    2,
  ),
  (
    kernels.Scaled(kernels.Warmup(kernels.OneCycle(0.3, 30), 9), 0.25),
    lambda t: (
      0.25 * ref.warm_up(t, cycle_reference, 9, 0.0)[0],
      ref.warm_up(t, cycle_reference, 9, 0.0)[1],
    ),
    1,
  ),
  (
    kernels.from_function(lambda epoch: 0.3 / (1 + epoch), 5, 9),
    lambda t: (0.3 / (1 + min(t // 9, 4)), None),
    1,
  ),
]
EACH = pytest.mark.parametrize(
  ("schedule", "reference", "ulp"), CASES, ids=[repr(c[0])[:60] for c in CASES]
)
STEPS = np.arange(130, dtype=np.int64)


def ulps(actual, expected):
  """Distance in float32 steps between float32 values of one sign."""
  bits = [np.float32(v).view(np.int32).astype(np.int64)
          for v in (actual, expected)]  # fmt: skip
  return np.abs(bits[0] - bits[1])


def columns(result):
  return [None if v is None else v.numpy() for v in result]


@EACH
def test_equals_the_float64_reference(schedule, reference, ulp):
  rates, momenta = kernels.tabulate(schedule, STEPS)
  expected = [reference(int(t)) for t in STEPS]
  want = np.array([lr for lr, _ in expected])
  worst = int(np.argmax(ulps(rates, want)))
  assert ulps(rates, want).max() <= ulp, (worst, rates[worst], want[worst])
  if momenta is None:
    assert expected[0][1] is None
  else:
    want = np.array([m for _, m in expected])
    assert ulps(momenta, want).max() <= ulp


@EACH
def test_the_same_bits_wherever_it_runs(schedule, reference, ulp):
  table = kernels.tabulate(schedule, STEPS)
  graph = tf.function(schedule, autograph=False)
  xla = tf.function(schedule, autograph=False, jit_compile=True)
  step = tf.TensorSpec([], tf.int64)
  scalar = [
    tf.function(schedule, autograph=False, jit_compile=jit,
                input_signature=[step])
    for jit in (False, True)
  ]  # fmt: skip
  for call in (schedule, graph, xla):
    for found, want in zip(columns(call(STEPS)), table, strict=True):
      np.testing.assert_array_equal(found, want)
  for call in (schedule, *scalar):
    for t in STEPS[::7]:
      for found, want in zip(columns(call(t)), table, strict=True):
        assert want is None or found == want[t], (call, t)


@EACH
def test_shape_and_dtype(schedule, reference, ulp):
  for dtype in (tf.int32, tf.int64):
    steps = tf.reshape(tf.range(12, dtype=dtype), [3, 2, 2])
    for value in schedule(steps):
      assert value is None or (value.dtype, value.shape) == (
        tf.float32,
        (3, 2, 2),
      )
  assert schedule(5).learning_rate.shape == ()
  with pytest.raises(ValueError, match="`step` must be of type int32"):
    schedule(1.5)


@EACH
def test_finite_and_held_far_out(schedule, reference, ulp):
  far = np.array([2**24 + 3, 2**31 + 5, 2**40], np.int64)
  rates, momenta = kernels.tabulate(schedule, far)
  assert np.isfinite(rates).all() and (rates >= 0).all()
  assert momenta is None or ((momenta >= 0) & (momenta < 1)).all()
  if schedule.total_steps is not None and not getattr(schedule, "cycle", False):
    last = schedule(2 * schedule.total_steps + 2).learning_rate
    assert (rates == last.numpy()).all()


@EACH
def test_round_trips(schedule, reference, ulp):
  config = json.loads(json.dumps(schedule.to_config()))
  assert kernels.from_config(config) == schedule
  assert eval(repr(schedule), vars(kernels)) == schedule
  assert hash(kernels.from_config(config)) == hash(schedule)
  with pytest.raises(dataclasses.FrozenInstanceError):
    schedule.peak_lr = 1.0


def test_tabulate_takes_counts_arrays_and_blocks(monkeypatch):
  schedule = kernels.OneCycle(1.0, 50)
  whole = kernels.tabulate(schedule, 50)
  monkeypatch.setattr(kernels.base, "_BLOCK", 16)
  for found, want in zip(kernels.tabulate(schedule, 50), whole, strict=True):
    np.testing.assert_array_equal(found, want)
  square = kernels.tabulate(schedule, np.arange(4).reshape(2, 2))[0]
  np.testing.assert_array_equal(square, whole[0][:4].reshape(2, 2))
  assert kernels.tabulate(schedule, 0)[0].shape == (0,)
  assert math.isclose(whole[0][-1], 4e-6, rel_tol=1e-6)
  for bad in (-1, 1.5, np.array([0.5])):
    with pytest.raises(ValueError, match="`steps` must be"):
      kernels.tabulate(schedule, bad)
