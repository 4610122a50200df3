"""Losses of replicas' shares and of micro-batches: those of the whole batch."""

import functools
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.losses import loss as keras_loss

import kernels
import trainloop
from support import small

RNG = np.random.default_rng(0)
EXAMPLES, LENGTH, WORDS, TAGS = 19, 6, 9, 4
LENGTHS = RNG.integers(1, LENGTH + 1, EXAMPLES)
TOKENS = RNG.integers(1, WORDS, (EXAMPLES, LENGTH))
TOKENS *= np.arange(LENGTH) < LENGTHS[:, None]
LABELS = (TOKENS % TAGS).astype("int32")
IGNORED = np.where(RNG.random(LABELS.shape) < 0.6, -1, LABELS)
EACH = RNG.uniform(0.2, 2.0, EXAMPLES).astype("float32")
TOKEN = RNG.uniform(0.2, 2.0, TOKENS.shape).astype("float32")
X, Y = small.arrays(EXAMPLES)
ONE_HOT = np.eye(3, dtype="float32")[Y]
Sparse = keras.losses.SparseCategoricalCrossentropy


def tagger(mask_zero=True):
  return keras.Sequential(
    [
      keras.layers.Input((LENGTH,), dtype="int32"),
      keras.layers.Embedding(WORDS, 5, mask_zero=mask_zero),
      keras.layers.Dense(TAGS, activation="softmax"),
    ]
  )


def recurrent():
  return keras.Sequential(
    [
      keras.layers.Input((LENGTH,), dtype="int32"),
      keras.layers.Embedding(WORDS, 5, mask_zero=True),
      keras.layers.LSTM(4, return_sequences=True),
      keras.layers.Dense(TAGS, activation="softmax"),
    ]
  )


def dense(**options):
  return keras.Sequential(
    [
      keras.layers.Input((8,)),
      keras.layers.Dense(6, activation="tanh", **options),
      keras.layers.Dense(3, activation="softmax"),
    ]
  )


def two_heads():
  tokens = keras.layers.Input((LENGTH,), dtype="int32")
  masked = keras.layers.Embedding(WORDS, 5, mask_zero=True)(tokens)
  tags = keras.layers.Dense(TAGS, activation="softmax", name="tags")(masked)
  pooled = keras.layers.GlobalAveragePooling1D()(masked)
  total = keras.layers.Dense(1, name="total", kernel_regularizer="l2")(pooled)
  return keras.Model(tokens, [tags, total])


def mean_square(y, p):
  return tf.reduce_mean(tf.square(tf.cast(y, tf.float32) - p))


class OwnLoss(keras.Model):
  """A `compute_loss` of its own, of Keras' losses."""

  def __init__(self):
    super().__init__()
    self._head = keras.layers.Dense(TAGS, activation="softmax")
    self._words = keras.layers.Embedding(WORDS, 5, mask_zero=True)
    self._loss = Sparse()

  def call(self, x, training=False):
    return self._head(self._words(x))

  def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
    return self._loss(y, y_pred, sample_weight)


TAGGED = (TOKENS, LABELS)
# (model, loss, arrays, more options)
CASES = {
  "mask_zero": (tagger, Sparse(), TAGGED, {}),
  "mask_zero by name": (tagger, "sparse_categorical_crossentropy", TAGGED, {}),
  "mask behind an LSTM": (recurrent, Sparse(), TAGGED, {}),
  "mask and weights": (tagger, Sparse(), (*TAGGED, TOKEN), {}),
  "mask and a sum": (tagger, Sparse(reduction="sum"), TAGGED, {}),
  "mask by weight": (
    tagger,
    Sparse(reduction="mean_with_sample_weight"),
    (*TAGGED, TOKEN),
    {},
  ),
  "ignore_class": (
    lambda: tagger(False),
    Sparse(ignore_class=-1),
    (TOKENS, IGNORED),
    {},
  ),
  "ignored and masked": (
    tagger,
    Sparse(ignore_class=-1),
    (TOKENS, IGNORED),
    {},
  ),
  "sum": (dense, Sparse(reduction="sum"), (X, Y), {}),
  "weighted sum": (dense, Sparse(reduction="sum"), (X, Y, EACH), {}),
  "sum and a regulariser": (
    lambda: dense(kernel_regularizer="l2"),
    Sparse(reduction="sum"),
    (X, Y),
    {},
  ),
  "mean by weight": (
    dense,
    Sparse(reduction="mean_with_sample_weight"),
    (X, Y, EACH),
    {},
  ),
  "function of a batch": (dense, mean_square, (X, ONE_HOT), {}),
  "two heads": (
    two_heads,
    {"tags": Sparse(), "total": keras.losses.MeanSquaredError("sum")},
    (TOKENS, {"tags": LABELS, "total": LENGTHS[:, None].astype("float32")}),
    {"loss_weights": {"tags": 1.0, "total": 0.1}},
  ),
  "own compute_loss": (OwnLoss, None, TAGGED, {}),
}
# Two replicas or one, and micro-batches. Of 19 examples in batches of 8 the
# last one has 3, which neither divides.
PARTS = {"replicas": (True, 1), "micro-batches": (False, 2), "both": (True, 2)}
SOON = [(case, "replicas") for case in CASES]
SOON += [("mask_zero", "both"), ("two heads", "both"), ("sum", "both")]
SOON += [("two heads", "micro-batches")]


@functools.cache
def train(case, strategy=None, accumulate=1):
  net, loss, arrays, options = CASES[case]

  def model():
    keras.utils.set_random_seed(3)
    return net()

  loop = trainloop.TrainLoop(
    model,
    lambda: keras.optimizers.SGD(0.05),
    loss,
    strategy=strategy,
    accumulate=accumulate,
    compile="graph",
    verbose=0,
    **options,
  )
  data = trainloop.ArrayData(*arrays, batch_size=8, drop_remainder=False)
  history = loop.fit(data, 1, validation=data)
  return loop, history


def agree(found, wanted):
  (loop, history), (one, expected) = found, wanted
  for name in ("loss", "grad_norm"):
    np.testing.assert_allclose(
      history.rows[name], expected.rows[name], rtol=2e-4, err_msg=name
    )
  assert list(history.epochs) == list(expected.epochs)
  for name, values in expected.epochs.items():
    np.testing.assert_allclose(
      history.epochs[name], values, rtol=1e-4, err_msg=name
    )
  weights = zip(loop.model.get_weights(), one.model.get_weights(), strict=True)
  for mine, theirs in weights:
    np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
  ("case", "parts"),
  [
    pytest.param(*one, marks=[pytest.mark.long] * (one not in SOON))
    for one in itertools.product(CASES, PARTS)
  ],
)
def test_the_loss_does_not_depend_on_the_parts(two_replicas, case, parts):
  several, accumulate = PARTS[parts]
  found = train(case, two_replicas if several else None, accumulate)
  agree(found, train(case))


def test_masked_losses_in_micro_batches_under_xla():
  found = []
  for accumulate in (1, 2):
    net, loss, arrays, _ = CASES["mask_zero"]
    keras.utils.set_random_seed(3)
    loop = small.loop(
      net(), loss=loss, accumulate=accumulate, compile="xla", metrics=None
    )
    data = trainloop.ArrayData(*arrays, batch_size=6)
    found.append((loop, loop.fit(data, 1, validation=data)))
  agree(found[1], found[0])


def rmse(y, p):
  return tf.sqrt(mean_square(y, p))


def summed(y, p):
  return tf.reduce_sum(tf.square(y - p))


class Undivided(keras.Model):
  def __init__(self):
    super().__init__()
    self._head = keras.layers.Dense(3)

  def call(self, x):
    return self._head(x)

  def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
    return tf.reduce_mean(tf.square(tf.one_hot(y, 3) - y_pred))


REFUSED = {
  "rmse": (dense, rmse, (X, ONE_HOT)),
  "summed": (dense, summed, (X, ONE_HOT)),
  "dice": (dense, "dice", (X, ONE_HOT)),
  "Circle": (dense, keras.losses.Circle(), (X, Y)),
  "compute_loss": (Undivided, None, (X, Y)),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_what_parts_cannot_give_is_refused(two_replicas, case, tmp_path):
  net, loss, arrays = REFUSED[case]
  loop = small.loop(
    net,
    lambda: keras.optimizers.SGD(0.1),
    loss=loss,
    metrics=None,
    strategy=two_replicas,
    workdir=tmp_path / "run",
  )
  with pytest.raises(ValueError, match=case) as hit:
    loop.fit(trainloop.ArrayData(*arrays, batch_size=6), 1)
  text = str(hit.value)
  assert text.startswith("`loss` must be one that replicas and micro-batches")
  assert "\n" not in text
  assert not (tmp_path / "run").exists()
  alone = small.loop(net, loss=loss, metrics=None)
  alone.fit(trainloop.ArrayData(*arrays, batch_size=6), 1)


@pytest.mark.parametrize(
  ("reduction", "rich", "several"),
  [("none", False, False), (None, True, False), ("none", False, True)],
)
def test_a_loss_without_a_reduction_is_refused(
  two_replicas, reduction, rich, several
):
  loop = small.loop(
    lambda: dense(**({"kernel_regularizer": "l2"} if rich else {})),
    lambda: keras.optimizers.SGD(0.1),
    loss=Sparse(reduction=reduction),
    strategy=two_replicas if several else None,
  )
  rule = r"`loss.reduction` must be 'sum_over_batch_size' or 'sum', one number "
  with pytest.raises(ValueError, match=rule) as hit:
    loop.fit(trainloop.ArrayData(X, Y, batch_size=6), 1)
  assert "SparseCategoricalCrossentropy; got" in str(hit.value)


def networks():
  layers = keras.layers
  return {
    "Conv1D": [layers.Reshape((4, 2)), layers.Conv1D(3, 2), layers.Flatten()],
    "Conv2D": [
      layers.Reshape((4, 2, 1)),
      layers.Conv2D(3, 2),
      layers.Flatten(),
    ],
    "BatchNormalization": [layers.Dense(5), layers.BatchNormalization()],
    "synchronized": [
      layers.Dense(5),
      layers.BatchNormalization(synchronized=True),
    ],
  }


def from_tensors(size):
  return tf.data.Dataset.from_tensor_slices((X[:17], Y[:17])).batch(size)


def from_arrays(size):
  return trainloop.ArrayData(
    X[:17], Y[:17], batch_size=size, drop_remainder=False, shuffle=False
  )


@pytest.mark.parametrize(
  ("kind", "source"),
  [*((kind, from_arrays) for kind in networks()), ("Conv1D", from_tensors)],
)
def test_a_batch_smaller_than_the_replicas(two_replicas, kind, source):
  """17 examples in batches of 4: the last one is of a single example."""
  # One replica's statistics are not those of the batch; of a single one they
  # are, and the moving ones are those of one replica.
  size = 1 if kind == "BatchNormalization" else 4

  def run(strategy):
    def model():
      keras.utils.set_random_seed(1)
      top = keras.layers.Dense(3, activation="softmax")
      return keras.Sequential([keras.Input((8,)), *networks()[kind], top])

    metrics = ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2)]
    loop = small.loop(
      model,
      lambda: keras.optimizers.SGD(0.05),
      metrics=metrics,
      strategy=strategy,
      schedule=kernels.Constant(0.05),
      compile="graph",
    )
    return loop, loop.fit(source(size), 1, validation=source(size))

  found, wanted = run(two_replicas), run(None)
  assert np.isfinite(found[1].rows["loss"]).all()
  agree(found, wanted)


def test_small_micro_batches_on_two_replicas(two_replicas):
  """9 examples in batches of 8: the last one goes to both replicas whole."""
  arrays = X[:9], Y[:9]
  found = []
  for strategy in (two_replicas, None):
    loop = small.loop(
      dense_made,
      lambda: keras.optimizers.SGD(0.1),
      strategy=strategy,
      accumulate=2,
      compile="graph",
    )
    data = trainloop.ArrayData(*arrays, batch_size=8, drop_remainder=False)
    found.append((loop, loop.fit(data, 2, validation=data)))
  agree(*found)


def dense_made():
  keras.utils.set_random_seed(3)
  return dense()


def test_every_keras_loss_is_still_reduced_in_one_place():
  """`reduce_weighted_values` is private: this notices when it moves."""
  calls = []
  real = keras_loss.reduce_weighted_values

  def counted(*args, **options):
    calls.append(options)
    return real(*args, **options)

  y, p = tf.one_hot([0, 1], 3), tf.constant([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3]])
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(keras_loss, "reduce_weighted_values", counted)
    for name in ("MeanSquaredError", "BinaryCrossentropy", "Dice", "Huber"):
      getattr(keras.losses, name)()(y, p)
    Sparse(ignore_class=-1)(tf.constant([0, 1]), p)
  assert len(calls) == 5
  names = {"sample_weight", "mask", "reduction", "dtype"}
  assert all(set(options) == names for options in calls)
  assert calls[-1]["mask"] is not None
