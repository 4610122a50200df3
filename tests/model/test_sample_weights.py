"""A weight an example, where an example has a loss a place, and masks."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import trainloop

N, T, SIZE = 20, 8, 8  # as many places as examples of a batch; a partial one
RNG = np.random.default_rng(0)
IDS = RNG.integers(0, 9, (N, T))  # 0 is masked
LABELS = RNG.integers(0, 4, (N, T))
WEIGHT = RNG.uniform(0.1, 3.0, N).astype("float32")
IMAGES = RNG.normal(size=(N, 4, 4, 2)).astype("float32")


def _tagger(mask=True):
  return keras.Sequential(
    [
      keras.Input((T,), dtype="int32"),
      keras.layers.Embedding(9, 4, mask_zero=mask),
      keras.layers.LSTM(3, return_sequences=True),
      keras.layers.Dense(4, activation="softmax"),
    ]
  )


def _two():
  ids = keras.Input((T,), dtype="int32")
  x = keras.layers.Embedding(9, 4, mask_zero=True)(ids)
  x = keras.layers.LSTM(3, return_sequences=True)(x)
  tags = keras.layers.Dense(4, activation="softmax", name="tags")(x)
  whole = keras.layers.LSTM(2)(x)
  kind = keras.layers.Dense(4, activation="softmax", name="kind")(whole)
  return keras.Model(ids, {"tags": tags, "kind": kind})


def _pixels():
  dense = keras.layers.Dense(3, activation="softmax")
  return keras.Sequential([keras.Input((4, 4, 2)), dense])


def _own(y, p):
  """A loss of the user's that gives one number an example."""
  return keras.ops.mean(keras.ops.square(p), axis=(1, 2, 3))


SPARSE = "sparse_categorical_crossentropy"
BY_WEIGHT = keras.losses.SparseCategoricalCrossentropy(
  reduction="mean_with_sample_weight"
)
BOTH = {"tags": LABELS, "kind": LABELS[:, 0]}
PIXELS = (IMAGES[..., 0] > 0).astype("int64")
COLUMN, PLACES = WEIGHT[:, None], np.tile(WEIGHT[:, None], (1, T))
# (model, loss, x, y, weights here, the same as Keras takes them)
CASES = {
  "mask": (_tagger, SPARSE, IDS, LABELS, WEIGHT, COLUMN),
  "mask, a column": (_tagger, SPARSE, IDS, LABELS, COLUMN, COLUMN),
  "mask, a weight a place": (_tagger, SPARSE, IDS, LABELS, PLACES, PLACES),
  "mask, labels (n, t, 1)": (
    _tagger, SPARSE, IDS, LABELS[..., None], WEIGHT, COLUMN
  ),
  "mask, mean by weight": (_tagger, BY_WEIGHT, IDS, LABELS, WEIGHT, PLACES),
  "no mask": (lambda: _tagger(False), SPARSE, IDS, LABELS, WEIGHT, COLUMN),
  "two outputs": (
    _two, SPARSE, IDS, BOTH, WEIGHT, {"tags": COLUMN, "kind": WEIGHT}
  ),
  "two outputs, each": (
    _two, SPARSE, IDS, BOTH, {"tags": WEIGHT, "kind": 2 * WEIGHT},
    {"tags": COLUMN, "kind": 2 * WEIGHT},
  ),
  "pixels": (
    _pixels, SPARSE, IMAGES, PIXELS, WEIGHT, WEIGHT[:, None, None]
  ),
  "pixels, own loss": (_pixels, _own, IMAGES, PIXELS, WEIGHT, WEIGHT),
}  # fmt: skip


@pytest.mark.parametrize(
  ("name", "compile"),
  [*((name, "graph") for name in CASES), ("mask", "xla"), ("pixels", "xla")],
)
def test_as_in_keras(name, compile):
  make, loss, x, y, weight, theirs = CASES[name]

  def made():
    keras.utils.set_random_seed(0)
    return make()

  loop = trainloop.TrainLoop(
    made, keras.optimizers.SGD(0.5), loss, compile=compile, verbose=False
  )
  options = {"batch_size": SIZE, "shuffle": False, "drop_remainder": False}
  data = trainloop.ArrayData(x, y, weight, **options)
  epochs = loop.fit(data, 1, validation=data).epochs
  net = made()
  net.compile(keras.optimizers.SGD(0.5), loss)
  expected = net.fit(
    x, y, SIZE, sample_weight=theirs, shuffle=False, verbose=0,
    validation_data=(x, y, theirs), validation_batch_size=SIZE,
  ).history  # fmt: skip
  for key in ("loss", "val_loss"):
    np.testing.assert_allclose(epochs[key], expected[key], rtol=1e-5)
  for mine, keras_own in zip(loop.model.weights, net.weights, strict=True):
    np.testing.assert_allclose(mine.numpy(), keras_own.numpy(), rtol=1e-3,
                               atol=1e-6)  # fmt: skip


def test_an_own_compute_loss_gets_the_weights_as_they_are():
  seen = []

  class Own(keras.Model):
    def __init__(self):
      super().__init__()
      self.dense = keras.layers.Dense(4, activation="softmax")

    def call(self, x):
      return self.dense(x)

    def compute_loss(self, x, y, y_pred, sample_weight, training=True):
      seen.append(sample_weight.shape)
      return tf.reduce_mean(y_pred[:, 0, 0, 0] * sample_weight)

  data = trainloop.ArrayData(IMAGES, LABELS, WEIGHT, batch_size=SIZE)
  trainloop.TrainLoop(Own(), "sgd", verbose=False).fit(data, 1)
  assert {len(shape) for shape in seen} == {1}
