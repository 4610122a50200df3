"""Where a sweep has diverged, against a plain NumPy reference."""

import numpy as np
import pytest

from trainloop.model.rows import Row
from trainloop.sweep import suggestions
from trainloop.sweep.divergence import Criterion, DivergenceCheck


def rows(losses, skipped=()):
  return np.array(
    [Row(0.1, 0.9, loss, 1.0, i in skipped) for i, loss in enumerate(losses)],
    np.float32,
  )


def length(losses, factor=4.0, blocks=1, smoothing=0.5):
  """How many rows a check leaves, fed in some blocks."""
  check, left = DivergenceCheck(Criterion(smoothing, factor)), 0
  for block in np.array_split(rows(losses), blocks):
    if not check.diverged:
      left += len(check.up_to(block))
  return left, check.diverged


@pytest.mark.parametrize("blocks", [1, 3, 12])
@pytest.mark.parametrize("sign", [1, -1])
def test_above_the_factor_of_the_least_smoothed_loss(blocks, sign):
  losses = np.array([3, 2, 1, 1, 2, 1, 3, 4, 5, 9, 30, 2], np.float32)
  if sign < 0:
    losses = losses - 10
  smoothed = np.minimum.accumulate(suggestions.ema(losses, 0.5))
  bound = smoothed + 3.0 * np.abs(smoothed)
  over = np.flatnonzero(losses > bound)
  want = (int(over[0]) + 1, True) if len(over) else (12, False)
  assert length(losses, blocks=blocks) == want
  assert len(over), "the case has to diverge"


@pytest.mark.parametrize("loss", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_ends_it_without_a_factor(loss):
  assert length([1.0, 100.0, loss, 1.0], factor=None) == (3, True)
  assert length([1.0, 100.0, 1e6], factor=None) == (3, False)


def test_a_refused_update_ends_it_and_is_left_out():
  check = DivergenceCheck(Criterion(0.5, None))
  assert len(check.up_to(rows([1.0, 1.0, 1.0], skipped=(1,)))) == 1
  assert check.diverged


def test_a_loss_scale_that_was_too_large_is_no_divergence():
  check = DivergenceCheck(Criterion(0.5, None), scales_loss=True)
  assert len(check.up_to(rows([1.0, 1.0, 1.0], skipped=(1,)))) == 3
  assert not check.diverged
