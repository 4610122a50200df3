"""Models for benchmarks: each a name, its random data, and a maker."""

import dataclasses
import typing

import keras
import numpy as np

L = keras.layers


def _net(shape, *layers, dtype=None):
  return keras.Sequential([L.Input(shape, dtype=dtype), *layers])


def _classes():
  return L.Dense(10, activation="softmax")


def _mlp(*sizes):
  return [L.Dense(size, activation="relu") for size in sizes]


def _images(*layers):
  return _net((28, 28, 1), *layers, L.Flatten(), _classes())


def _attention(shape, embed=None, blocks=1, wide=128, activation="relu"):
  inputs = L.Input(shape, dtype="int32" if embed else None)
  x = embed(inputs) if embed else inputs
  for _ in range(blocks):
    x = L.LayerNormalization()(x + L.MultiHeadAttention(4, 16)(x, x))
    hidden = L.Dense(wide, activation=activation)(x)
    x = L.LayerNormalization()(x + L.Dense(64)(hidden))
  return keras.Model(inputs, _classes()(L.GlobalAveragePooling1D()(x)))


def _transformer():
  return _attention((40,), L.Embedding(2000, 64), 6, 256, "gelu")


def _embedding_bag():
  bag = [L.Embedding(20000, 50), L.GlobalAveragePooling1D()]
  return _net((400,), *bag, _classes(), dtype="int32")


def _mnist_cnn():
  return _net(
    (28, 28, 1),
    L.Conv2D(32, 3, activation="relu"),
    L.Conv2D(64, 3, activation="relu"),
    L.MaxPooling2D(),
    L.Dropout(0.25),
    L.Flatten(),
    *_mlp(128),
    L.Dropout(0.5),
    _classes(),
  )


# name: (batch size, shape of an example, words or None, maker)
MODELS = {
  "mlp_64_64_10": (64, (64,), None, lambda: _net((64,), *_mlp(64), _classes())),
  "mlp_dropout": (
    64,
    (64,),
    None,
    lambda: _net((64,), *_mlp(64), L.Dropout(0.2), _classes()),
  ),
  "mlp_784_1024_1024_10": (
    128,
    (784,),
    None,
    lambda: _net((784,), *_mlp(1024, 1024), _classes()),
  ),
  "mlp_batchnorm": (
    64,
    (64,),
    None,
    lambda: _net((64,), L.Dense(64), L.BatchNormalization(), _classes()),
  ),
  "mlp_layernorm": (
    64,
    (64,),
    None,
    lambda: _net((64,), L.Dense(64), L.LayerNormalization(), _classes()),
  ),
  "autoencoder": (
    64,
    (64,),
    None,
    lambda: _net((64,), *_mlp(32, 8, 32, 64), _classes()),
  ),
  "einsum_dense": (
    64,
    (8, 16),
    None,
    lambda: _net(
      (8, 16),
      L.EinsumDense("abc,cd->abd", (8, 32)),
      L.Flatten(),
      _classes(),
    ),
  ),
  "embedding_bag": (128, (400,), 20000, _embedding_bag),
  "embedding_bag_32": (32, (400,), 20000, _embedding_bag),
  "embedding_attention": (
    32,
    (40,),
    2000,
    lambda: _attention((40,), L.Embedding(2000, 64)),
  ),
  "transformer_block": (32, (40, 64), None, lambda: _attention((40, 64))),
  "transformer_6": (32, (40,), 2000, _transformer),
  "lstm": (
    32,
    (30, 16),
    None,
    lambda: _net((30, 16), L.LSTM(32), _classes()),
  ),
  "gru": (32, (30, 16), None, lambda: _net((30, 16), L.GRU(32), _classes())),
  "cnn": (
    128,
    (28, 28, 1),
    None,
    lambda: _images(
      L.Conv2D(32, 3, activation="relu"),
      L.Conv2D(64, 3, activation="relu"),
      L.MaxPooling2D(),
    ),
  ),
  "mnist_cnn": (128, (28, 28, 1), None, _mnist_cnn),
  "depthwise": (
    64,
    (28, 28, 1),
    None,
    lambda: _images(L.DepthwiseConv2D(3, depth_multiplier=8)),
  ),
  "conv1d": (
    64,
    (40, 16),
    None,
    lambda: _net((40, 16), L.Conv1D(32, 5), L.Flatten(), _classes()),
  ),
}


# Those that are compared with other ways to train, see `benchmark.py`.
COMPARED = (
  "mlp_64_64_10",
  "mlp_dropout",
  "embedding_bag_32",
  "embedding_bag",
  "mnist_cnn",
  "mlp_784_1024_1024_10",
)
_MOST_BYTES = 64 << 20
_MOST_STEPS, _IMAGE_STEPS, _FEW_STEPS = 400, 40, 4


@dataclasses.dataclass(frozen=True)
class Task:
  """One model with the data of one epoch.

  Attributes:
    name: of the model.
    x, y: NumPy arrays, whole batches of random examples of ten classes.
    batch_size: examples of an update.
    make: makes the keras.Model.
  """

  name: str
  x: np.ndarray
  y: np.ndarray
  batch_size: int
  make: typing.Callable

  @property
  def steps(self):
    """Updates of an epoch."""
    return len(self.y) // self.batch_size

  @property
  def few(self):
    """The same with a short epoch, where XLA takes seconds for an update:
    for images, because of convolutions."""
    return self.first(_FEW_STEPS) if self.x.ndim == 4 else self

  @property
  def many(self):
    """Updates that one compiled call may do without taking long."""
    return 1000 if self.x.nbytes // self.steps < 1 << 16 else 100

  def first(self, steps):
    """The same with at most the first `steps` batches."""
    count = min(steps, self.steps) * self.batch_size
    return dataclasses.replace(self, x=self.x[:count], y=self.y[:count])

  def order(self, steps):
    """int32 (steps, batch): shuffled epochs of the examples' numbers."""
    rng = np.random.default_rng(0)
    epochs = -(-steps // self.steps)
    epoch_orders = [rng.permutation(len(self.y)) for _ in range(epochs)]
    order = np.concatenate(epoch_orders).astype(np.int32)
    return order.reshape(-1, self.batch_size)[:steps]


def task(name, steps=0):
  """The `Task` of a model.

  Args:
    name: a key of `MODELS`.
    steps: updates of an epoch; 0 for as many as are sensible.
  """
  batch_size, shape, words, make = MODELS[name]
  if not steps:
    most = _IMAGE_STEPS if len(shape) == 3 else _MOST_STEPS
    batch_bytes = 4 * batch_size * int(np.prod(shape))
    steps = min(most, _MOST_BYTES // batch_bytes)
  rng = np.random.default_rng(0)
  count = steps * batch_size
  y = rng.integers(0, 10, count).astype(np.int32)
  if words:
    x = rng.integers(0, words, (count, *shape), np.int32)
  else:
    x = rng.random((count, *shape), np.float32)
  return Task(name, x, y, batch_size, make)
