"""Smoothing and suggestions of a sweep, against cases done by hand."""

import math

import numpy as np
import pytest

from trainloop.sweep import suggestions


def test_ema_is_corrected_for_its_start():
  found = suggestions.ema([4.0, 2.0, 1.0], 0.5)
  want = [4.0, (0.25 * 4 + 0.5 * 2) / 0.75, (0.5 + 0.5 + 0.5) / 0.875]
  np.testing.assert_allclose(found, want, rtol=1e-15)
  np.testing.assert_allclose(suggestions.ema([3.0] * 50, 0.98), 3.0)
  assert suggestions.ema([1.0, 9.0], 0.0).tolist() == [1.0, 9.0]


def test_a_centred_average_shrinks_at_the_ends():
  found = suggestions.centred(np.arange(10.0), 4)
  # Two before, itself and one after.
  assert found.tolist() == [0.5, 1, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8]


def test_changes_average_the_last_20_steps():
  losses = np.arange(30.0) ** 2
  found = suggestions.changes(losses)
  assert found[:20].tolist() == [0.0] * 20
  assert found[25] == pytest.approx((25**2 - 5**2) / 20)
  mean_of_differences = np.diff(losses)[5:25].mean()
  assert found[25] == pytest.approx(mean_of_differences)


RATES = 10.0 ** np.arange(-8, 2)  # ten rates, a decade apart


@pytest.mark.parametrize(
  ("losses", "index"),
  [
    # The longest falling subsequence is 9 8 7 3 2 1, of 6: end 6, start 0;
    # a third is 2: 0 + 2 + 1.
    ([9, 8, 7, 8.5, 3, 2, 1, 4, 5, 6], 3),
    # All fall: of 10, end 9, start -1; a third is 3.33: -1 + 3 + 1.
    ([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], 3),
    ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0),
    # 5 4: end 9, start 7, a third is 0.67: 7 + 0 + 0.
    ([1, 1, 1, 1, 1, 1, 1, 1, 5, 4], 7),
  ],
)
def test_valley(losses, index):
  found = suggestions.valley(RATES, np.array(losses, float))
  assert found == RATES[index]


def test_steep_goes_by_the_logarithm_and_minimum_by_a_tenth():
  rates = np.array([1.0, 10.0, 20.0, 40.0])
  losses = np.array([9.0, 6.0, 4.0, 3.5])
  # Falls: 3 over ln 10 = 1.3 each; 2 over ln 2 = 2.9 each; 0.7 each.
  assert suggestions.steep(rates, losses) == 10.0
  assert suggestions.minimum(rates, losses) == 4.0


def test_slide_moves_left_while_its_ends_slope_differently():
  rates = np.geomspace(1e-6, 1, 40)
  losses = np.where(np.arange(40) < 30, 2.0, 2.0 + (np.arange(40) - 29) * 0.1)
  slope = np.gradient(losses)
  # The right end leaves the rise, slope 0.1, behind it at index 28.
  assert abs(slope[29]) > 0.005 and slope[28] == 0
  assert suggestions.slide(rates, losses) == rates[29 - 15]
  flat = np.full(40, 2.0)
  assert suggestions.slide(rates, flat) == rates[39 - 15]


def test_a_tenth_and_the_last_five_are_left_out():
  rates, losses = np.geomspace(1e-4, 1, 100), np.linspace(5, 1, 100)
  losses[3], losses[97] = -50.0, -100.0
  found = suggestions.suggest(rates, losses, 100)
  assert found["minimum"] == rates[94] / 10
  assert set(found) == {"valley", "slide", "steep", "minimum"}


@pytest.mark.parametrize("count", [0, 1, 15, 16, 20, 31])
def test_too_few_points_give_nan_and_no_error(count):
  rates = np.geomspace(1e-4, 1, 100)[:count]
  found = suggestions.suggest(rates, np.linspace(2, 1, count), 100)
  kept = max(0, count - 15)
  for name, least in (("valley", 1), ("minimum", 1), ("steep", 2)):
    assert math.isfinite(found[name]) == (kept >= least), name
  assert math.isfinite(found["slide"]) == (kept >= 16)
  assert all(map(math.isnan, suggestions.automatic_range(rates[:1], [2.0])))


def test_the_automatic_range():
  # A rise, a fall by 8 from index 40 to 140, a rise: averages of 20 keep the
  # straight parts; the ends of the fall are rounded off.
  losses = np.concatenate(
    [np.linspace(9, 10, 40), np.linspace(10, 2, 101), np.linspace(2, 6, 60)]
  )
  rates = np.linspace(0.1, 2.0, len(losses))
  low, high = suggestions.automatic_range(rates, losses)
  mean = suggestions.centred(losses)
  first, last = int(np.argmax(mean[:150])), int(np.argmin(mean))
  delta = mean[first] - mean[last]
  inside = range(first, last + 1)
  want = [
    next(i for i in inside if mean[i] <= mean[last] + share * delta)
    for share in (0.5, 0.05)
  ]
  assert [low, high] == [rates[i] for i in want]
  assert 85 < want[0] < 95 and 125 < want[1] < 140
  rising = suggestions.automatic_range(rates, np.arange(len(rates)) * 1.0)
  assert all(map(math.isnan, rising))


def test_the_fastest_fall():
  losses = np.concatenate([np.full(30, 5.0), np.linspace(5, 1, 20)])
  rates = np.geomspace(1e-3, 1, 50)
  assert suggestions.fastest(rates, losses) == rates[49]
  assert math.isnan(suggestions.fastest(rates, np.arange(50.0)))
