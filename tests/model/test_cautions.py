"""What trains and can hardly be meant: a warning before step 1, or an error."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import trainloop
from support import small

L, LOSSES = keras.layers, keras.losses
X, LABELS = small.arrays(32)
HOT = np.eye(3, dtype="float32")[LABELS]
BINARY = (LABELS > 0).astype("float32")[:, None]
REAL = X[:, :1]


def net(units, activation=None):
  return lambda: keras.Sequential(
    [L.Input((8,)), L.Dense(units, activation=activation)]
  )


def with_layer(units, layer):
  return lambda: keras.Sequential([L.Input((8,)), L.Dense(units), layer])


class Subclassed(keras.Model):
  def __init__(self):
    super().__init__()
    self.last = L.Dense(3, activation="softmax")

  def call(self, x):
    return self.last(x)


def two_heads():
  x = L.Input((8,))
  a = L.Dense(3, activation="softmax", name="a")(x)
  return keras.Model(x, [a, L.Dense(1, name="b")(x)])


def far(units):
  """Outputs far from [0, 1], whatever the weights."""
  bias = keras.initializers.Constant(7.0)
  return lambda: keras.Sequential(
    [L.Input((8,)), L.Dense(units, bias_initializer=bias)]
  )


SPARSE = LOSSES.SparseCategoricalCrossentropy(from_logits=True)
ODD = {
  "softmax, from_logits": (net(3, "softmax"), SPARSE, LABELS, "is a softmax"),
  "Softmax layer, from_logits": (
    with_layer(3, L.Softmax()),
    LOSSES.CategoricalCrossentropy(from_logits=True),
    HOT,
    "is a softmax",
  ),
  "sigmoid, from_logits": (
    net(1, "sigmoid"),
    LOSSES.BinaryCrossentropy(from_logits=True),
    BINARY,
    "is a sigmoid",
  ),
  "subclassed, from_logits": (Subclassed, SPARSE, LABELS, "is a softmax"),
  "one of two outputs": (
    two_heads,
    [SPARSE, "mse"],
    (LABELS, REAL),
    "the output 0 is a softmax",
  ),
  "logits, by name": (
    far(1),
    "binary_crossentropy",
    BINARY,
    "end the model in a sigmoid, or give the loss from_logits=True",
  ),
  "logits, by function": (
    far(3),
    LOSSES.sparse_categorical_crossentropy,
    LABELS,
    "end the model in a softmax",
  ),
  "sigmoids for classes": (
    with_layer(3, L.Activation(lambda x: 0 * x + 0.9)),
    "categorical_crossentropy",
    HOT,
    "sums to 2.7 over the classes",
  ),
  "one unit for classes": (
    net(1),
    "categorical_crossentropy",
    BINARY * 0 + 1,
    "over one unit is always 0",
  ),
  "no distribution": (
    net(3, "softmax"),
    "categorical_crossentropy",
    2 * HOT,
    "`y` is no distribution: example 0 sums to 2",
  ),
  "kl_divergence": (
    net(3, "softmax"),
    LOSSES.KLDivergence(),
    HOT - 0.5,
    "`y` is no distribution",
  ),
  "negative counts": (net(1, "exponential"), "poisson", -BINARY, "counts >= 0"),
  "negative rates": (
    with_layer(1, L.Activation(lambda x: 0 * x - 1)),
    LOSSES.Poisson(),
    BINARY,
    "end the model in an exponential",
  ),
  "msle": (
    net(1),
    LOSSES.MeanSquaredLogarithmicError(),
    BINARY - 2,
    "less counts as 0",
  ),
  "hinge": (net(1), "hinge", 3 * BINARY, "-1 and 1, or 0 and 1"),
  "one class": (
    net(3, "softmax"),
    "sparse_categorical_crossentropy",
    LABELS * 0,
    "the same in all examples",
  ),
}


def fit(make, loss, y, validation=None):
  loop = small.loop(make(), loss=loss, metrics=None, compile="graph")
  loop.fit(trainloop.ArrayData(X, y, batch_size=16), 1, validation=validation)
  return loop


@pytest.mark.parametrize("case", ODD)
def test_a_line_warns_before_step_1(case, capsys):
  make, loss, y, match = ODD[case]
  with contextlib.suppress(trainloop.NonFiniteError):
    fit(make, loss, y)
  shown = [x for x in capsys.readouterr().out.splitlines() if x]
  told = [line for line in shown if line.startswith("warning: ")]
  assert sum(match in line for line in told) == 1, shown


FINE = {
  "softmax": (net(3, "softmax"), "sparse_categorical_crossentropy", LABELS),
  "logits": (net(3), SPARSE, LABELS),
  "one-hot": (net(3, "softmax"), "categorical_crossentropy", HOT),
  "soft": (net(3, "softmax"), "kl_divergence", HOT * 0.7 + 0.1),
  "sigmoid": (net(1, "sigmoid"), "binary_crossentropy", BINARY),
  "several labels": (net(3, "sigmoid"), "binary_crossentropy", HOT),
  "signs": (net(1), "hinge", 2 * BINARY - 1),
  "numbers": (net(1), "mse", REAL),
  "the same number": (net(1), "mse", REAL * 0 + 1),
}


@pytest.mark.parametrize("case", FINE)
def test_what_is_usual_warns_of_nothing(case, capsys):
  fit(*FINE[case])
  assert "warning" not in capsys.readouterr().out


def test_validation_and_a_stream_are_looked_at_and_told_once(capsys):
  stream = tf.data.Dataset.from_tensor_slices((X, 3 * HOT)).batch(16)
  loop = fit(net(3, "softmax"), "categorical_crossentropy", HOT, stream)
  loop.evaluate(stream)
  out = capsys.readouterr().out
  assert out.count("`y` of `validation` is no distribution") == 1
  loop.fit(stream, 1)
  loop.fit(stream, 1)
  assert capsys.readouterr().out.count("`y` is no distribution") <= 1


@pytest.mark.parametrize(
  ("make", "loss", "y", "match"),
  [
    (net(1, "softmax"), "binary_crossentropy", BINARY, "softmax over one unit"),
    (with_layer(1, L.Softmax()), "mse", REAL, "softmax over one unit"),
    (
      net(1, "sigmoid"),
      LOSSES.BinaryCrossentropy(label_smoothing=1.5),
      BINARY,
      "`label_smoothing` must be a number in",
    ),
  ],
)
def test_what_cannot_be_meant_is_refused(make, loss, y, match):
  with pytest.raises(ValueError, match=match) as caught:
    fit(make, loss, y)
  assert "\n" not in str(caught.value)
