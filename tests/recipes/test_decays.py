"""Recipes that fall, against their formulas."""

import numpy as np
import pytest

import kernels
from trainloop import recipes


def rates(recipe, steps, epochs):
  schedule = recipe.schedule_for(steps, epochs)
  return kernels.tabulate(schedule, steps * epochs)


def test_time_based_per_update_and_per_epoch():
  t = np.arange(40)
  found = rates(recipes.time_based(0.1, 0.002), 10, 4)[0]
  np.testing.assert_allclose(found, 0.1 / (1 + 0.002 * t), rtol=1e-6)
  found = rates(recipes.time_based(0.1, 0.002, per="epoch"), 10, 4)[0]
  np.testing.assert_allclose(found, 0.1 / (1 + 0.002 * (t // 10)), rtol=1e-6)


@pytest.mark.parametrize("every", [1, 2, 10])
def test_step_drop_is_an_epoch_early(every):
  found = rates(recipes.step_drop(0.1, 0.5, every), 3, 25)[0]
  epoch = np.arange(75) // 3
  want = 0.1 * 0.5 ** ((1 + epoch) // every)
  np.testing.assert_allclose(found, want, rtol=1e-6)


def test_function_and_warmup_cosine():
  found = rates(recipes.function(lambda epoch: 0.1 / (1 + epoch)), 4, 3)[0]
  np.testing.assert_allclose(found, np.repeat([0.1, 0.05, 0.1 / 3], 4))
  halved = recipes.function(lambda epoch, lr: lr / 2, initial_lr=0.8)
  np.testing.assert_allclose(rates(halved, 2, 2)[0], [0.4, 0.4, 0.2, 0.2])
  schedule = recipes.warmup_cosine(0.3, "1ep").schedule_for(10, 5)
  assert schedule == kernels.WarmupCosine(0.3, 10, 50)
  assert recipes.warmup_cosine(0.3).schedule_for(10, 5).warmup_steps == 5


@pytest.mark.parametrize(
  ("make", "name"),
  [
    (lambda: recipes.warmup_cosine(1.0, "soon"), "warmup"),
    (lambda: recipes.time_based(1.0, 0.0), "decay_rate"),
    (lambda: recipes.time_based(1.0, 0.1, per="batch"), "per"),
    (lambda: recipes.step_drop(1.0, 0.5, 0), "every"),
    (lambda: recipes.step_drop(1.0, 0.0, 5), "drop"),
    (lambda: recipes.function(3), "fn"),
  ],
)
def test_bad_recipes_are_refused_when_they_are_made(make, name):
  with pytest.raises(ValueError, match=f"`{name}` must be"):
    make()
