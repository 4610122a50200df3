"""Networks of the zoo that keras.applications has not."""

import keras
from keras import ops

L = keras.layers


class Positions(L.Layer):
  """Adds a learned vector to each place of a sequence."""

  def build(self, shape):
    self._table = self.add_weight(shape=shape[1:], initializer="normal")

  def call(self, x):
    return x + ops.cast(self._table, x.dtype)


def dense(shape, *sizes, classes=10):
  """An MLP with a softmax on top."""
  inputs = x = L.Input(shape)
  for size in sizes:
    x = L.Dense(size, activation="relu")(x)
  return keras.Model(inputs, L.Dense(classes, activation="softmax")(x))


def autoencoder(size, *hidden):
  """Dense layers down to the last of `hidden` and back up."""
  inputs = x = L.Input((size,))
  for width in (*hidden, *hidden[-2::-1]):
    x = L.Dense(width, activation="relu")(x)
  return keras.Model(inputs, L.Dense(size, activation="sigmoid")(x))


def text(length, words, width, *layers, classes=2):
  """Words, some layers over their vectors, and a softmax."""
  inputs = L.Input((length,), dtype="int32")
  x = L.Embedding(words, width)(inputs)
  for layer in layers:
    x = layer(x)
  return keras.Model(inputs, L.Dense(classes, activation="softmax")(x))


def _block(x, heads, dropout, causal):
  """A transformer's block, normalised before each of its two parts."""
  width = x.shape[-1]
  attention = L.MultiHeadAttention(heads, width // heads, dropout=dropout)
  normal = L.LayerNormalization()(x)
  x = x + attention(normal, normal, use_causal_mask=causal)
  wide = L.Dense(4 * width, activation="gelu")(L.LayerNormalization()(x))
  return x + L.Dropout(dropout)(L.Dense(width)(wide))


def transformer(length, words, width, blocks, heads=4, classes=None):
  """A classifier of texts, or without `classes` a causal language model."""
  inputs = L.Input((length,), dtype="int32")
  x = Positions()(L.Embedding(words, width)(inputs))
  for _ in range(blocks):
    x = _block(x, heads, 0.1, causal=classes is None)
  x = L.LayerNormalization()(x)
  if classes is None:
    return keras.Model(inputs, L.Dense(words, activation="softmax")(x))
  x = L.GlobalAveragePooling1D()(x)
  return keras.Model(inputs, L.Dense(classes, activation="softmax")(x))


def vit(side, patch, width, blocks, heads=4, classes=10):
  """A small vision transformer: patches by one convolution."""
  inputs = L.Input((side, side, 3))
  x = L.Conv2D(width, patch, strides=patch)(inputs)
  x = Positions()(L.Reshape(((side // patch) ** 2, width))(x))
  for _ in range(blocks):
    x = _block(x, heads, 0.1, causal=False)
  x = L.GlobalAveragePooling1D()(L.LayerNormalization()(x))
  return keras.Model(inputs, L.Dense(classes, activation="softmax")(x))


def _twice(x, filters):
  for _ in range(2):
    x = L.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    x = L.Activation("relu")(L.BatchNormalization()(x))
  return x


def unet(side, filters, depth, classes=3):
  """Down by pooling, up by transposed convolutions, a class each pixel."""
  inputs = x = L.Input((side, side, 3))
  left = []
  for i in range(depth):
    x = _twice(x, filters << i)
    left.append(x)
    x = L.MaxPooling2D()(x)
  x = _twice(x, filters << depth)
  for i in reversed(range(depth)):
    x = L.Conv2DTranspose(filters << i, 2, strides=2)(x)
    x = _twice(L.Concatenate()([x, left[i]]), filters << i)
  return keras.Model(inputs, L.Conv2D(classes, 1, activation="softmax")(x))


def wide(columns, words):
  """A small branch a column: every second one embeds a category."""
  inputs, branches = [], []
  for i in range(columns):
    if i % 2:
      inputs.append(L.Input((1,), dtype="int32", name=f"category_{i}"))
      branch = L.Flatten()(L.Embedding(words, 8)(inputs[-1]))
    else:
      inputs.append(L.Input((1,), name=f"number_{i}"))
      branch = L.Dense(8, activation="relu")(inputs[-1])
    branches.append(L.Dense(8, activation="relu")(branch))
  x = L.Dense(64, activation="relu")(L.Concatenate()(branches))
  return keras.Model(inputs, L.Dense(2, activation="softmax")(x))
