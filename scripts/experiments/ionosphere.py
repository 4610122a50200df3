"""The published learning-rate schedules on Ionosphere: time-based and drop.

34-34-1, weights drawn from a normal distribution of 0.05, relu and sigmoid;
batches of 28 with the last partial one kept, 50 epochs, the last third of the
file for validation: 235 examples to train on and 116 to validate.
"""

import functools
import os

import keras
import numpy as np

import trainloop
from experiments import experiment
from training import table_options, table_reader
from trainloop import recipes

L = keras.layers


def data(folder, seed):
  """(training, validation), in the order of the file."""
  path = os.path.join(folder, "ionosphere.csv")
  table = table_reader.read("csv", [path], table_options.Options())
  x, y = table.numbers, (table.labels == "g").astype(np.float32)[:, None]
  first = int(len(x) * (1 - 0.33))
  return (
    trainloop.ArrayData(
      x[:first], y[:first], batch_size=28, seed=seed, drop_remainder=False
    ),
    trainloop.ArrayData(x[first:], y[first:], batch_size=116, shuffle=False),
  )


def model():
  """34-34-1."""
  options = {"kernel_initializer": keras.initializers.RandomNormal(stddev=0.05)}
  return keras.Sequential(
    [
      L.Input((34,)),
      L.Dense(34, activation="relu", **options),
      L.Dense(1, activation="sigmoid", **options),
    ]
  )


def run(recipe, momentum, seed, folder, quick):
  """SGD under a recipe; the last epoch's validation accuracy."""
  train, valid = data(folder, seed)
  loop = trainloop.TrainLoop(
    model,
    lambda: keras.optimizers.SGD(0.1, momentum=momentum),
    "binary_crossentropy",
    metrics=["accuracy"],
    schedule=recipe,
    seed=seed,
    verbose=False,
  )
  history = loop.fit(train, 2 if quick else 50, validation=valid)
  values = 100 * history.epochs["val_accuracy"]
  measures = {
    "val acc %, last": float(values[-1]),
    "val acc %, best": float(values.max()),
  }
  return experiment.outcome(loop, history, measures)


def _of(title, recipe, momentum):
  return experiment.Experiment(
    f"Ionosphere 34-34-1, SGD momentum {momentum}, {title}",
    {"val acc %, last": 99.14},
    functools.partial(run, recipe, momentum),
    10,
    "val_accuracy",
    "116 validation examples: one is 0.86 %",
  )


EXPERIMENTS = {
  "ionosphere_time_based_update": _of(
    "0.1 time-based, decay .002 per update",
    recipes.time_based(0.1, 0.002, "update"),
    0.8,
  ),
  "ionosphere_time_based_epoch": _of(
    "0.1 time-based, decay .002 per epoch",
    recipes.time_based(0.1, 0.002, "epoch"),
    0.8,
  ),
  "ionosphere_step_drop": _of(
    "0.1 dropped by .5 at floor((1 + epoch) / 10)",
    recipes.step_drop(0.1, 0.5, 10),
    0.9,
  ),
}
