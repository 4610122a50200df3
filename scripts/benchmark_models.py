"""Models for benchmarks: each a name, its data, and a maker."""

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


def _attention(shape, embed=None):
  given = L.Input(shape, dtype="int32" if embed else None)
  x = embed(given) if embed else given
  x = L.LayerNormalization()(x + L.MultiHeadAttention(4, 16)(x, x))
  wide = L.Dense(128, activation="relu")(x)
  x = L.LayerNormalization()(x + L.Dense(64)(wide))
  return keras.Model(given, _classes()(L.GlobalAveragePooling1D()(x)))


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
  "embedding_bag": (
    128,
    (400,),
    20000,
    lambda: _net(
      (400,),
      L.Embedding(20000, 50),
      L.GlobalAveragePooling1D(),
      _classes(),
      dtype="int32",
    ),
  ),
  "embedding_attention": (
    32,
    (40,),
    2000,
    lambda: _attention((40,), L.Embedding(2000, 64)),
  ),
  "transformer_block": (32, (40, 64), None, lambda: _attention((40, 64))),
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


def data(name):
  """(x, y, batch size) of random data for a model: 10 to 400 batches."""
  batch_size, shape, words, _ = MODELS[name]
  batches = 10 if len(shape) == 3 else 400
  rng = np.random.default_rng(0)
  count = batches * batch_size
  y = rng.integers(0, 10, count)
  if words:
    x = rng.integers(0, words, (count, *shape)).astype(np.int32)
  else:
    x = rng.random((count, *shape), np.float32)
  return x, y, batch_size
