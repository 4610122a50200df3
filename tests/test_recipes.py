"""Recipes: ktrain's vocabulary as kernels, and what they bring to a fit."""

import keras
import numpy as np
import pytest

import kernels
import trainloop
from support import small, workdirs
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
    (lambda: recipes.one_cycle(-1.0), "peak_lr"),
    (lambda: recipes.one_cycle(1.0, "keras"), "preset"),
    (lambda: recipes.sgdr(1.0, 0), "cycle_epochs"),
    (lambda: recipes.sgdr(1.0, 1.5), "cycle_epochs"),
    (lambda: recipes.sgdr(1.0, cycle_mult=0.0), "cycle_mult"),
    (lambda: recipes.autofit(1.0, epochs=0), "epochs"),
    (lambda: recipes.autofit(float("nan")), "peak_lr"),
    (lambda: recipes.autofit(0.1).schedule_for(1), "steps_per_epoch"),
    (lambda: recipes.warmup_cosine(1.0, "soon"), "warmup"),
    (lambda: recipes.time_based(1.0, 0.0), "decay_rate"),
    (lambda: recipes.time_based(1.0, 0.1, per="batch"), "per"),
    (lambda: recipes.step_drop(1.0, 0.5, 0), "every"),
    (lambda: recipes.step_drop(1.0, 0.0, 5), "drop"),
    (lambda: recipes.function(3), "fn"),
    (lambda: recipes.one_cycle(1.0).schedule_for(10), "epochs"),
  ],
)
def test_bad_recipes_are_refused_when_they_are_made(make, name):
  with pytest.raises(ValueError, match=f"`{name}` must be"):
    make()


def loop(schedule, **options):
  return small.loop(
    optimizer=keras.optimizers.SGD(0.1, momentum=0.9),
    schedule=schedule,
    **options,
  )


def test_a_fit_without_epochs_takes_what_the_recipe_brings():
  valid = small.data(16, 16)
  trained = loop(recipes.sgdr(0.1, 1, 2.0, cycles=2))
  history = trained.fit(small.data(), validation=valid)
  assert history.epochs["epoch"].tolist() == [1, 2, 3]
  free = loop(recipes.autofit(0.5))
  history = free.fit(small.data(), validation=valid)
  assert history.stop_reason == "early_stopping"
  assert 5 < len(history.epochs["epoch"]) < 1024
  given = loop(recipes.autofit(0.5))
  assert given.fit(small.data(), 2).stop_reason == "completed"
  assert given.best == {}


def test_fits_one_after_another_as_in_a_notebook(tmp_path):
  trained = loop(recipes.one_cycle(0.1), workdir=tmp_path)
  data, parts = small.data(), []
  plan = [
    (None, 2, recipes.one_cycle(0.1).schedule_for(12, 2)),
    (recipes.sgdr(0.05, 1, cycles=2), None, kernels.CosineRestarts(0.05, 12)),
    (kernels.Constant(0.01), 1, kernels.Constant(0.01)),
  ]
  for schedule, epochs, kernel in plan:
    history = trained.fit(data, epochs, schedule=schedule)
    count = len(history.rows["step"])
    want = kernels.tabulate(kernel, count)[0]
    assert history.rows["learning_rate"].tobytes() == want.tobytes()
    parts.append(history)
  steps = np.concatenate([part.rows["step"] for part in parts])
  assert steps.tolist() == list(range(60))
  epochs = np.concatenate([part.epochs["epoch"] for part in parts])
  assert epochs.tolist() == [1, 2, 3, 4, 5]
  series = workdirs.scalars(tmp_path / "train")
  losses = np.concatenate([part.rows["loss"] for part in parts])
  assert series["loss"][0] == list(range(60))
  assert series["loss"][1].tobytes() == losses.tobytes()
  planned = workdirs.scalars(tmp_path / "plan")
  assert planned["hyperparameters/learning_rate"][0] == list(range(60))


def test_what_a_recipe_can_not_bring():
  data, valid = small.data(), small.data(16, 16)
  trained = loop(kernels.Constant(0.1))
  trained.fit(data, 1, validation=valid)
  with pytest.raises(ValueError, match="`schedule` must be the first fit's"):
    trained.fit(data, validation=valid, schedule=recipes.autofit(0.1))
  trained.fit(data, 1, validation=valid, schedule=recipes.autofit(0.1))
  with pytest.raises(ValueError, match="`epochs` must be given, because one"):
    trained.fit(data, schedule=recipes.one_cycle(0.1))
  with pytest.raises(ValueError, match="`epochs` must be an integer"):
    trained.fit(data)
  with pytest.raises(ValueError, match="`validation` must be given"):
    loop(recipes.autofit(0.1)).fit(data)
  with pytest.raises(ValueError, match="`schedule` must be a kernels"):
    loop(3)


def test_a_sweep_before_a_recipe():
  trained = small.loop(
    optimizer=keras.optimizers.SGD(), schedule=recipes.one_cycle(0.1)
  )
  trainloop.sweep_learning_rate(trained, small.data(), steps=5)
  found = trained.fit(small.data(), 1).rows["momentum"]
  assert found[0] == np.float32(0.95)
