"""The published experiments on MNIST: constant rate against SGDR; range test.

The CNN is that of Keras' mnist_cnn example, with Adadelta, batches of 128 and
the last 10 % of the training images held out for validation. Both runs stop
once the validation loss has not got better for 10 epochs, and are measured on
the 10,000 test images.
"""

import os

import keras
import numpy as np

import kernels
import trainloop
from experiments import experiment

L = keras.layers
_MOST_EPOCHS = 28  # the fourth cycle of 3, 5, 8, 12 epochs ends there
_PATIENCE = 10


def data(folder, seed, quick):
  """(training, validation, test) of MNIST; a part of it if `quick`."""
  with np.load(os.path.join(folder, "mnist.npz"), allow_pickle=False) as file:
    x, y = _images(file["x_train"]), file["y_train"].astype(np.int64)
    x_test, y_test = _images(file["x_test"]), file["y_test"].astype(np.int64)
  if quick:
    x, y, x_test, y_test = x[:1280], y[:1280], x_test[:500], y_test[:500]
  held = len(x) // 10
  options = {"batch_size": 128, "seed": seed, "drop_remainder": False}
  return (
    trainloop.ArrayData(x[:-held], y[:-held], **options),
    trainloop.ArrayData(x[-held:], y[-held:], batch_size=1000),
    trainloop.ArrayData(x_test, y_test, batch_size=1000),
  )


def cnn():
  """Conv 32, conv 64, pool, dropout .25, dense 128, dropout .5."""
  return keras.Sequential(
    [
      L.Input((28, 28, 1)),
      L.Conv2D(32, 3, activation="relu"),
      L.Conv2D(64, 3, activation="relu"),
      L.MaxPooling2D(),
      L.Dropout(0.25),
      L.Flatten(),
      L.Dense(128, activation="relu"),
      L.Dropout(0.5),
      L.Dense(10, activation="softmax"),
    ]
  )


def _images(x):
  return (x[..., None] / np.float32(255)).astype(np.float32)


def _loop(seed, schedule, **stopping):
  return trainloop.TrainLoop(
    cnn,
    lambda: keras.optimizers.Adadelta(1.0),
    "sparse_categorical_crossentropy",
    metrics=["accuracy"],
    schedule=schedule,
    early_stopping=trainloop.EarlyStopping(
      "val_loss", patience=_PATIENCE, **stopping
    ),
    seed=seed,
  )


def constant(seed, folder, quick):
  """Constant learning rate 1.0."""
  train, valid, test = data(folder, seed, quick)
  loop = _loop(seed, kernels.Constant(1.0))
  history = loop.fit(train, 2 if quick else _MOST_EPOCHS, validation=valid)
  return _outcome(loop, history, test)


def sgdr(seed, folder, quick):
  """SGDR between the bounds of the sweep's automatic range.

  The sweep is the article's: linear from 0.1 to 2 over one epoch. Cycles of
  3, 5, 8, 12 epochs (3 x 1.5^i, rounded up), each peak 0.9 of the one before.
  """
  train, valid, test = data(folder, seed, quick)
  first = 1 if quick else 3
  loop = _loop(seed, None, restore="cycle_end")
  sweep = trainloop.sweep_learning_rate(
    loop,
    train,
    min_lr=0.1,
    max_lr=2.0,
    steps="1ep",
    spacing="linear",
    divergence=None,
  )
  low, high = (0.1, 1.0) if quick else sweep.lr_range
  steps = train.steps_per_epoch
  schedule = kernels.CosineRestarts(
    high, first * steps, 1.5, 0.9, floor_lr=low, round_to=steps
  )
  history = loop.fit(
    train, 2 if quick else _MOST_EPOCHS, validation=valid, schedule=schedule
  )
  return _outcome(loop, history, test, lr_range=[low, high])


def _outcome(loop, history, test, **notes):
  error = 100 * (1 - loop.evaluate(test)["accuracy"])
  return experiment.outcome(
    loop, history, {"test error %": error}, best=loop.best, **notes
  )


def range_test(seed, folder, quick):
  """Rates from 1e-4 to 1 over one epoch in batches of 250, SGD and Adam."""
  train, _, _ = data(folder, seed, quick)
  x, y, _ = train.arrays
  train = trainloop.ArrayData(x, y, batch_size=250, seed=seed)
  loops = {
    "SGD": _compiled(seed, keras.optimizers.SGD),
    "Adam": _compiled(seed, keras.optimizers.Adam),
  }
  options = {"min_lr": 1e-4, "max_lr": 1.0}
  steps = "6ep" if quick else "1ep"  # four updates are no sweep
  sweeps = trainloop.compare_learning_rates(loops, train, steps=steps,
                                            **options)  # fmt: skip
  measures = {f"best lr, {name}": s.best_lr for name, s in sweeps.items()}
  below = measures["best lr, Adam"] < measures["best lr, SGD"]
  curves = {
    f"{name} {what}": [float(v) for v in values]
    for name, s in sweeps.items()
    for what, values in (
      ("learning_rate", s.learning_rates),
      ("loss", s.losses),
      ("loss_change", s.changes),
    )
  }
  notes = {name: s.suggestions for name, s in sweeps.items()}
  measures["Adam's below SGD's (1: yes)"] = float(below)
  return experiment.Outcome(measures, curves, notes)


def _compiled(seed, optimizer):
  return trainloop.TrainLoop(
    cnn,
    optimizer,
    "sparse_categorical_crossentropy",
    metrics=["accuracy"],
    seed=seed,
    verbose=False,
  )


_REMARK = (
  "error on the 10,000 test images, of the best weights by validation loss "
  "(constant) or of those at the last cycle's end (SGDR), as the article's "
  f"scheduler leaves them; at most {_MOST_EPOCHS} epochs, patience 10"
)
EXPERIMENTS = {
  "mnist_constant": experiment.Experiment(
    "MNIST CNN, Adadelta, constant learning rate 1.0",
    {"test error %": 1.05},
    constant,
    3,
    "val_accuracy",
    _REMARK,
  ),
  "mnist_sgdr": experiment.Experiment(
    "MNIST CNN, Adadelta, SGDR 3 epochs x 1.5, decay .9, automatic range",
    {"test error %": 0.85},
    sgdr,
    3,
    "val_accuracy",
    _REMARK,
  ),
  "mnist_range_test": experiment.Experiment(
    "MNIST CNN, range test, batch 250, 1e-4 to 1, SGD and Adam",
    {"Adam's below SGD's (1: yes)": 1.0},
    range_test,
    3,
    "",
    "best lr: where the loss falls fastest, an average over 20 updates",
  ),
}
