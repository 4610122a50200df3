"""Small data, models and loops that the tests share."""

import hashlib

import keras
import numpy as np

import trainloop


def arrays(examples=96, features=8, classes=3, seed=0):
  """Separable blobs: float32 (examples, features), int64 (examples,)."""
  rng = np.random.default_rng(seed)
  y = rng.integers(0, classes, examples)
  centers = np.random.default_rng(7).normal(size=(classes, features))
  x = centers[y] + rng.normal(scale=0.5, size=(examples, features))
  return x.astype(np.float32), y


def data(examples=96, batch_size=8, **options):
  return trainloop.ArrayData(
    *arrays(examples), batch_size=batch_size, **options
  )


def validation():
  """Other examples, two batches of them."""
  return data(32, 16, seed=1)


def model(features=8, classes=3, rich=False, seed=0):
  """An MLP; `rich` adds BatchNormalization and Dropout."""
  keras.utils.set_random_seed(seed)
  extra = [keras.layers.BatchNormalization(), keras.layers.Dropout(0.3)]
  return keras.Sequential(
    [
      keras.layers.Input((features,)),
      keras.layers.Dense(6, activation="relu"),
      *(extra if rich else []),
      keras.layers.Dense(classes, activation="softmax"),
    ]
  )


def loop(net=None, optimizer=None, **options):
  options = {"metrics": ["accuracy"], "verbose": False, **options}
  return trainloop.TrainLoop(
    model() if net is None else net,
    keras.optimizers.SGD(0.1, momentum=0.9) if optimizer is None else optimizer,
    options.pop("loss", "sparse_categorical_crossentropy"),
    **options,
  )


def digest(values):
  """Hash of the bytes of some arrays or variables."""
  result = hashlib.sha256()
  for value in values:
    result.update(np.asarray(value).tobytes())
  return result.hexdigest()


def state_of(trained):
  """Bytes of all that training moves: weights, statistics, seeds, slots."""
  return digest([*trained.model.variables, *trained.optimizer.variables])
