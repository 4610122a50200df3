"""What holds for all fields and all steps from 0 to 2^40."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernels

PAIR = (0.95, 0.85)
RATES = st.floats(1e-12, 10.0)
LENGTHS = st.integers(1, 2**30)
SHARES = st.floats(0.0, 1.0)
STEPS = st.lists(st.integers(0, 2**40), min_size=1, max_size=8)
FEW = settings(max_examples=40, deadline=None)


@st.composite
def between(draw, count):
  """(low, high, ...): `count` rates, the first the lowest, then the highest."""
  found = sorted(draw(RATES) for _ in range(count))
  return found[0], found[-1], *found[1:-1]


@st.composite
def schedules(draw):
  """(schedule, its floor, its peak)."""
  low, high, mid = draw(between(3))
  kind = draw(st.sampled_from(sorted(MAKE)))
  return MAKE[kind](draw, low, high, mid), low, high


def _restarts(draw, low, high, mid):
  return kernels.CosineRestarts(
    high,
    draw(LENGTHS),
    cycle_mult=draw(st.sampled_from([0.5, 1, 1.1, 1.5, 2, 3, 10])),
    floor_lr=low,
    cycles=draw(st.none() | st.integers(1, 50)),
    round_to=draw(st.integers(1, 1000)),
    momentum=PAIR,
  )


def _triangular(draw, low, high, mid):
  mode = draw(st.sampled_from(["triangular", "triangular2", "exp_range"]))
  up, down, gamma = draw(LENGTHS), draw(LENGTHS), draw(st.floats(0.5, 1.0))
  final = draw(st.none() | st.just(mid)) if mode == "triangular" else None
  return kernels.Triangular(low, high, up, down, mode, gamma, final, PAIR)


def _one_cycle(draw, low, high, mid):
  return kernels.OneCycle(
    high,
    draw(LENGTHS),
    draw(st.floats(0.0, 0.5)),
    initial_div=high / mid,
    final_div=mid / low,
    anneal=draw(st.sampled_from(["cosine", "linear"])),
    three_phase=draw(st.booleans()),
  )


def _warmup_cosine(draw, low, high, mid):
  warmup, hold, rest = draw(LENGTHS), draw(LENGTHS), draw(LENGTHS)
  total = warmup + hold + rest
  return kernels.WarmupCosine(high, warmup, total, hold, mid, low, PAIR)


def _stable(draw, low, high, mid):
  lengths = [draw(LENGTHS) for _ in range(3)]
  decay = draw(st.sampled_from(["linear", "cosine", "sqrt"]))
  count = draw(st.sampled_from([1, 2, 7, None]))
  return kernels.WarmupStableDecay(high, *lengths, mid, low, decay, count)


def _join(draw, low, high, mid):
  parts = [_one_cycle(draw, low, high, mid), _restarts(draw, low, high, mid)]
  return kernels.Join(parts, [draw(LENGTHS)])


def _piecewise(draw, low, high, mid):
  found = sorted(draw(st.sets(LENGTHS, min_size=3, max_size=3)))
  return kernels.PiecewiseConstant(found, [mid, high, low, mid])


def _sweep(draw, low, high, mid):
  spacing = draw(st.sampled_from(["exponential", "linear"]))
  total = draw(st.integers(2, 2**30))
  return kernels.RangeSweep(low, np.nextafter(high, 11), total, spacing)


MAKE = {
  "linear": lambda d, low, high, _: kernels.Linear(high, low, d(LENGTHS)),
  "cosine": lambda d, low, high, _: kernels.Cosine(high, d(LENGTHS), low),
  "polynomial": lambda d, low, high, _: kernels.Polynomial(
    high, low, d(LENGTHS), d(st.floats(0.1, 9.0)), d(st.booleans())
  ),
  "piecewise": _piecewise,
  "restarts": _restarts,
  "triangular": _triangular,
  "one_cycle": _one_cycle,
  "warmup_cosine": _warmup_cosine,
  "stable": _stable,
  "sweep": _sweep,
  "join": _join,
  "warmup": lambda d, low, high, mid: kernels.Warmup(
    _restarts(d, low, high, mid), d(LENGTHS), mid, d(st.booleans())
  ),
  "exponential": lambda d, low, high, mid: kernels.Exponential(
    high, d(LENGTHS), d(st.floats(1e-3, 0.999)), d(st.booleans()), low
  ),
  "product": lambda d, low, high, mid: kernels.Product(
    [
      _restarts(d, low, high, mid),
      kernels.Linear(1.0, 1.0, d(LENGTHS)),
      kernels.Exponential(1.0, d(LENGTHS), d(st.floats(1.0, 9.0)), end_lr=1.0),
    ]
  ),
}


def rates(schedule, steps):
  return kernels.tabulate(schedule, np.array(steps, np.int64))[0]


@settings(max_examples=300, deadline=None)
@given(schedules(), STEPS)
def test_between_floor_and_peak_and_never_nan(case, steps):
  schedule, low, high = case
  found, momenta = kernels.tabulate(schedule, np.array(steps, np.int64))
  # The algebra may leave the interval by a last bit of float32.
  slack = np.spacing(np.float32(high))
  assert np.isfinite(found).all()
  assert (found >= np.float32(low) * (1 - 3e-7)).all(), schedule
  assert (found <= np.float32(high) + slack).all(), schedule
  if momenta is not None:
    assert (momenta >= np.float32(0.85) - 1e-7).all()
    assert (momenta <= np.float32(0.95) + 1e-7).all()


@FEW
@given(RATES, LENGTHS, st.floats(1e-3, 10.0), st.booleans(), STEPS)
def test_endless_decays_never_nan(rate, length, factor, staircase, steps):
  for schedule in (
    kernels.Exponential(rate, length, min(factor, 1.0), staircase),
    kernels.InverseTime(rate, length, factor, staircase),
    kernels.StepDecay(rate, min(factor, 1.0), length),
    kernels.InverseSqrt(rate, length, timescale=length),
    kernels.Power(rate, factor, -factor),
  ):
    found = rates(schedule, steps)
    assert np.isfinite(found).all() and (found >= 0).all()
    assert (found <= np.float32(rate)).all()


@FEW
@given(RATES, st.integers(4, 2**40), st.floats(0.0, 1.0))
def test_one_cycle_ends(peak, total, share):
  schedule = kernels.OneCycle(peak, total, share)
  final = np.float32(peak / 25 / 1e4)
  assert (rates(schedule, [total - 1, total, 2**41]) == final).all()
  if share * total > 1:
    assert rates(schedule, [0])[0] == np.float32(peak / 25)


@FEW
@given(st.integers(20, 3000), SHARES, st.sampled_from(["cosine", "linear"]))
def test_one_cycle_area(total, share, anneal):
  """A phase's mean is the middle of its ends, for lines and half cosines."""
  schedule = kernels.OneCycle(1.0, total, share, anneal=anneal)
  found = kernels.tabulate(schedule, total)[0].astype(np.float64)
  turn = max(share * total - 1, 0)
  first = (1 / 25 + 1) / 2 if turn else 0
  area = first * turn + (1 + 4e-6) / 2 * (total - 1 - turn)
  trapezoids = (found[1:] + found[:-1]).sum() / 2
  # A corner between two steps costs at most one step's height.
  assert abs(trapezoids - area) <= 1.0


@FEW
@given(RATES, RATES, st.integers(1, 2**20), st.integers(0, 2**18))
def test_triangular_is_symmetric(base, peak, half, cycle):
  schedule = kernels.Triangular(base, peak, half, momentum=PAIR)
  start = cycle * 2 * half
  steps = np.unique(np.linspace(0, half, 9).astype(np.int64))
  up = kernels.tabulate(schedule, start + steps)
  down = kernels.tabulate(schedule, start + 2 * half - steps)
  np.testing.assert_array_equal(up, down)


@FEW
@given(schedules(), schedules(), st.integers(1, 2**30), STEPS)
def test_join_equals_its_parts(one, other, boundary, steps):
  parts = [one[0], other[0]]
  if parts[0].moves_momentum != parts[1].moves_momentum:
    with pytest.raises(ValueError, match="all set momentum, or none"):
      kernels.Join(parts, [boundary])
    return
  joined = kernels.Join(parts, [boundary])
  for t in [boundary - 1, boundary, *steps]:
    j = int(t >= boundary)
    want = parts[j](t - (0, boundary)[j])
    found = joined(t)
    assert found.learning_rate == want.learning_rate
    assert want.momentum is None or found.momentum == want.momentum


@FEW
@given(schedules(), st.integers(1, 2**30), RATES, STEPS)
def test_warmup_is_continuous_at_its_end(case, warmup, initial, steps):
  part = case[0]
  schedule = kernels.Warmup(part, warmup, initial)
  first = float(part(0).learning_rate)
  last, end = rates(schedule, [warmup - 1, warmup]).astype(np.float64)
  assert end == first
  # One step of the line, and a last bit.
  slope = abs(first - initial) / warmup
  assert abs(end - last) <= slope + 2e-7 * max(first, initial)
  assert (
    rates(schedule, [warmup + t for t in steps]) == rates(part, steps)
  ).all()


@FEW
@given(schedules(), st.floats(0.0, 100.0), STEPS)
def test_scaled_is_a_product(case, factor, steps):
  part = case[0]
  found = rates(kernels.Scaled(part, factor), steps)
  want = factor * rates(part, steps).astype(np.float64)
  # What is below the smallest normal float32 may be 0.
  np.testing.assert_allclose(found, want, rtol=2e-7, atol=2.0**-126)
