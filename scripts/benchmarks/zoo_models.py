"""The zoo: models that people train, each with its batch and random data."""

import dataclasses
import typing

import keras
import numpy as np

from benchmarks import zoo_networks as networks

L = keras.layers
_WORDS, _CATEGORIES, _COLUMNS = 20000, 50, 40
_FEW, _MANY = 10, 200  # updates of an epoch: of large models, of small ones
_FEW_AT_START = 4  # epochs that a large model is started for
_CLASSES = "sparse_categorical_crossentropy"


@dataclasses.dataclass(frozen=True)
class Task:
  """A model with the data of one epoch, of a fixed seed.

  Attributes:
    name: of the model.
    make: makes the keras.Model.
    x: a NumPy array, or a list of them for several inputs.
    y: a NumPy array.
    batch_size: examples of an update.
    updates: that it is started for, whole epochs.
    cosine: whether the rate falls along a cosine; else it is constant.
    loss: for Keras' `compile`.
  """

  name: str
  make: typing.Callable
  x: typing.Any
  y: np.ndarray
  batch_size: int
  updates: int
  cosine: bool
  loss: str

  @property
  def steps(self):
    """Updates of an epoch."""
    return len(self.y) // self.batch_size

  @property
  def metrics(self):
    """For Keras' `compile`: the accuracy where there are classes."""
    return ["accuracy"] if self.loss == _CLASSES else []


class _Data:
  """Random examples, float32 in [0, 1) and int32.

  Args:
    count: of the examples.
  """

  def __init__(self, count):
    self._rng, self._count = np.random.default_rng(0), count

  def numbers(self, *shape):
    return self._rng.random((self._count, *shape), np.float32)

  def classes(self, most, *shape):
    return self._rng.integers(0, most, (self._count, *shape), np.int32)


def _images(side, classes=10):
  return lambda data: (data.numbers(side, side, 3), data.classes(classes))


def _texts(length, words=_WORDS, classes=2):
  return lambda data: (data.classes(words, length), data.classes(classes))


def _rows(size):
  return lambda data: (data.numbers(size), data.classes(10))


def _same(size):
  def make(data):
    x = data.numbers(size)
    return x, x

  return make


def _next_words(length, words):
  def make(data):
    text = data.classes(words, length + 1)
    return text[:, :-1].copy(), text[:, 1:].copy()

  return make


def _pixels(side, classes=3):
  return lambda data: (
    data.numbers(side, side, 3),
    data.classes(classes, side, side),
  )


def _columns(data):
  x = [
    data.classes(_CATEGORIES, 1) if i % 2 else data.numbers(1)
    for i in range(_COLUMNS)
  ]
  return x, data.classes(2)


def _application(name, side):
  def make():
    build = getattr(keras.applications, name)
    return build(weights=None, classes=10, input_shape=(side, side, 3))

  return make


@dataclasses.dataclass(frozen=True)
class _Kind:
  """What a `Task` is made of; `data`: makes (x, y) of a `_Data`."""

  batch_size: int
  steps: int
  data: typing.Callable
  make: typing.Callable
  cosine: bool = True
  loss: str = _CLASSES


def _recurrent(layer):
  """Texts of 100 words through one recurrent layer, a class of Keras'."""

  def make():
    return networks.text(100, _WORDS, 64, layer(64))

  return _Kind(32, _MANY, _texts(100), make, cosine=False)


MODELS = {
  "mobilenet_v2": _Kind(32, _FEW, _images(64), _application("MobileNetV2", 64)),
  "efficientnet_b0": _Kind(
    32, _FEW, _images(64), _application("EfficientNetB0", 64)
  ),
  "resnet50": _Kind(32, _FEW, _images(32), _application("ResNet50", 32)),
  "densenet121": _Kind(32, _FEW, _images(32), _application("DenseNet121", 32)),
  "convnext_tiny": _Kind(
    32, _FEW, _images(32), _application("ConvNeXtTiny", 32)
  ),
  "vit": _Kind(64, _FEW, _images(32), lambda: networks.vit(32, 4, 128, 6)),
  "unet": _Kind(8, _FEW, _pixels(64), lambda: networks.unet(64, 16, 3)),
  "transformer": _Kind(
    32,
    _FEW,
    _texts(128),
    lambda: networks.transformer(128, _WORDS, 128, 6, classes=2),
  ),
  "language_model": _Kind(
    16,
    _FEW,
    _next_words(128, 4000),
    lambda: networks.transformer(128, 4000, 128, 4),
  ),
  "lstm": _recurrent(L.LSTM),
  "gru": _recurrent(L.GRU),
  "conv1d_text": _Kind(
    32,
    _MANY,
    _texts(200),
    lambda: networks.text(
      200,
      _WORDS,
      64,
      L.Conv1D(64, 5, activation="relu"),
      L.GlobalMaxPooling1D(),
    ),
    cosine=False,
  ),
  "embedding_bag": _Kind(
    32,
    _MANY,
    _texts(400),
    lambda: networks.text(400, _WORDS, 50, L.GlobalAveragePooling1D()),
    cosine=False,
  ),
  "wide_tabular": _Kind(
    64, _MANY, _columns, lambda: networks.wide(_COLUMNS, _CATEGORIES)
  ),
  "autoencoder": _Kind(
    128,
    _MANY,
    _same(784),
    lambda: networks.autoencoder(784, 128, 64, 32),
    cosine=False,
    loss="mean_squared_error",
  ),
  "mlp_small": _Kind(
    64, _MANY, _rows(64), lambda: networks.dense((64,), 64), cosine=False
  ),
  "mlp_large": _Kind(
    128, _MANY, _rows(784), lambda: networks.dense((784,), 1024, 1024)
  ),
}


def task(name):
  """The `Task` of a model; its data are made anew, the same each time.

  Args:
    name: a key of `MODELS`.
  """
  kind = MODELS[name]
  x, y = kind.data(_Data(kind.steps * kind.batch_size))
  updates = kind.steps * (_FEW_AT_START if kind.steps == _FEW else 1)
  return Task(
    name, kind.make, x, y, kind.batch_size, updates, kind.cosine, kind.loss
  )
