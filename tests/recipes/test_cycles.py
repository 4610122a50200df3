"""Recipes of cycles: ktrain's vocabulary as kernels."""

import numpy as np
import pytest

import kernels
from trainloop import recipes


def rates(recipe, steps, epochs):
  schedule = recipe.schedule_for(steps, epochs)
  return kernels.tabulate(schedule, steps * epochs)


def test_one_cycle_is_ktrains():
  recipe = recipes.one_cycle(0.5)
  want = kernels.OneCycle.preset("ktrain", 0.5, 30)
  assert recipe.schedule_for(10, 3) == want
  torch = recipes.one_cycle(0.5, preset="torch").schedule_for(10, 3)
  assert torch == kernels.OneCycle(0.5, 30)


def test_sgdr_has_whole_epochs_rounded_up():
  schedule = recipes.sgdr(1.0, 3, 1.5, 0.9).schedule_for(10, 28)
  assert schedule.cycle_starts(281) == [30, 80, 160, 280]
  learning_rates = kernels.tabulate(schedule, 281)[0]
  np.testing.assert_allclose(
    learning_rates[[0, 30, 80, 160, 280]], 0.9 ** np.arange(5), rtol=1e-6
  )
  assert recipes.sgdr(1.0, 2, cycles=2).epochs == 4
  assert recipes.sgdr(1.0, 3, 1.5, cycles=4).epochs == 28
  assert recipes.sgdr(1.0).epochs is None


@pytest.mark.parametrize("steps", [2, 7, 10])
def test_autofit_is_a_cycle_an_epoch(steps):
  learning_rates, momenta = rates(recipes.autofit(0.5), steps, 3)
  assert recipes.autofit(0.5).schedule_for(steps).cycle_starts(3 * steps) == [
    steps,
    2 * steps,
  ]
  up, down = steps - steps // 2, steps // 2
  want = np.concatenate(
    [
      0.05 + 0.45 * np.arange(up) / up,
      0.5 + (0.0005 - 0.5) * np.arange(down) / down,
    ]
  )
  np.testing.assert_allclose(learning_rates, np.tile(want, 3), rtol=1e-5)
  assert momenta[0] == np.float32(0.95) and momenta[up] == np.float32(0.85)


@pytest.mark.parametrize(
  ("make", "name"),
  [
    (lambda: recipes.one_cycle(-1.0), "peak_lr"),
    (lambda: recipes.one_cycle(1.0, "keras"), "preset"),
    (lambda: recipes.sgdr(1.0, 0), "cycle_epochs"),
    (lambda: recipes.sgdr(1.0, 1.5), "cycle_epochs"),
    (lambda: recipes.sgdr(1.0, cycle_mult=0.0), "cycle_mult"),
    (lambda: recipes.autofit(1.0, epochs=0), "epochs"),
    (lambda: recipes.autofit(float("nan")), "peak_lr"),
    (lambda: recipes.autofit(0.1).schedule_for(1), "steps_per_epoch"),
    (lambda: recipes.one_cycle(1.0).schedule_for(10), "epochs"),
  ],
)
def test_bad_recipes_are_refused_when_they_are_made(make, name):
  with pytest.raises(ValueError, match=f"`{name}` must be"):
    make()
