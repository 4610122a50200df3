"""The defaults train any standardised table, whatever stands far out in it."""

import types

import keras
import numpy as np
import pytest

import kernels
import train
import trainloop
from training import datasets, job, models
from training.data import as_task

FLAGS = types.SimpleNamespace(clip_norm=None, momentum=None, nesterov=True)


def shells(rng, rows=600):
  """Correlated sizes and weights, two rows far out, a skewed target."""
  size = rng.lognormal(0, 0.4, rows)
  height = 0.27 * size + rng.normal(0, 0.01, rows)
  height[[5, 100]] = 30.0, 9.0
  x = np.stack([size, 0.8 * size, height, size**3, 0.4 * size**3], 1)
  return x, np.round(5 + 5 * size + rng.exponential(2, rows))


def spikes(rng, rows=600):
  """One number of a column, and one target, a million times the others."""
  x = rng.normal(size=(rows, 6))
  y = x[:, 0] + rng.normal(0, 0.3, rows)
  x[3, 2], y[11] = 1e6, 1e6
  return x, y


def heavy(rng, rows=600):
  """Tails without a variance, twice the same columns."""
  x = rng.standard_cauchy((rows, 4))
  x = np.concatenate([x, x + 0.01 * rng.normal(size=x.shape)], 1)
  return x, x[:, 0] + rng.standard_cauchy(rows)


@pytest.mark.parametrize("table", [shells, spikes, heavy])
def test_a_regression_ends_below_where_it_began(table):
  x, y = table(np.random.default_rng(0))
  found = as_task(x, x[:9], y, y[:9], "regression")
  data = datasets.dataclasses.replace(found, own=True)
  source = trainloop.ArrayData(data.x_train, data.y_train, batch_size=32)
  peak = job.default_peak(train.PEAKS, "sgd", data)
  for seed in range(2):
    loop = trainloop.TrainLoop(
      models.maker("mlp", data, [256], [], 0.0, 0, 0),
      lambda: job.optimizer(FLAGS, "sgd", peak, data),
      data.loss,
      schedule=kernels.OneCycle(peak, 10 * source.steps_per_epoch),
      seed=seed,
      verbose=0,
    )
    losses = loop.fit(source, 10).epochs["loss"]
    assert losses[-1] < losses[0], (table, seed)


def test_what_the_defaults_are():
  rng = np.random.default_rng(0)
  x, y = shells(rng)
  numbers = as_task(x, x, y, y, "regression")
  classes = as_task(x, x, y > 9, y > 9, "auto")
  assert job.default_peak(train.PEAKS, "sgd", numbers) == pytest.approx(0.01)
  assert job.default_peak(train.PEAKS, "sgd", classes) == 0.1
  assert job.default_peak(train.PEAKS, "adam", numbers) == 3e-3

  def clip(data, name="sgd", own=True, **flags):
    given = types.SimpleNamespace(**{**vars(FLAGS), **flags})
    data = datasets.dataclasses.replace(data, own=own)
    made = job.optimizer(given, name, 0.1, data)
    assert isinstance(made, keras.optimizers.Optimizer)
    return made.global_clipnorm

  assert clip(numbers) == clip(classes) == 1.0
  assert clip(numbers, clip_norm=0.0) is None
  assert clip(numbers, clip_norm=5.0) == clip(numbers, "adam", clip_norm=5) == 5
  assert clip(numbers, "adam") is clip(numbers, own=False) is None
