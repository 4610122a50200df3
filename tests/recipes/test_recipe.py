"""What recipes bring to a fit, and what they can't."""

import keras
import numpy as np
import pytest

import kernels
import trainloop
from support import small, workdirs
from trainloop import recipes


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
