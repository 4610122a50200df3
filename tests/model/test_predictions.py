"""loop.predict: the outputs of what was judged, in order."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import trainloop
from support import small


@pytest.fixture(scope="module")
def trained():
  loop = small.loop(
    small.model(rich=True), average=trainloop.EMA(0.9), compile="graph"
  )
  loop.fit(small.data(), 1, validation=small.validation())
  return loop


X, Y = small.arrays(45)
KINDS = {
  "ArrayData": trainloop.ArrayData(X, Y, batch_size=8),
  "dataset": tf.data.Dataset.from_tensor_slices((X, Y)).batch(8),
  "dataset of x": tf.data.Dataset.from_tensor_slices(X).batch(8),
  "arrays": X,
}


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_are_the_models_in_the_order_of_the_examples(trained, kind):
  before = small.state_of(trained)
  found = trained.predict(KINDS[kind])
  want = trained.model(X, training=False).numpy()
  np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)
  assert small.state_of(trained) == before


def test_training_goes_on_as_if_nothing_had_been_asked():
  plain, asked = small.loop(), small.loop()
  for loop in (plain, asked):
    loop.fit(small.data(), 1)
  asked.predict(X)
  rows = [loop.fit(small.data(), 1).rows["loss"] for loop in (plain, asked)]
  assert rows[0].tobytes() == rows[1].tobytes()


def test_several_outputs_and_inputs_come_as_keras_gives_them():
  one, two = keras.Input((8,), name="one"), keras.Input((8,), name="two")
  both = keras.layers.Concatenate()([one, two])
  outputs = {
    "a": keras.layers.Dense(2, name="a")(both),
    "b": keras.layers.Dense(1, name="b")(both),
  }
  net = keras.Model([one, two], outputs)
  loop = small.loop(net, loss={"a": "mse", "b": "mse"}, metrics=None)
  x = {"one": X, "two": X}
  y = {"a": np.zeros((45, 2)), "b": np.zeros((45, 1))}
  data = trainloop.ArrayData(x, y, batch_size=9)
  loop.fit(data, 1)
  found = loop.predict(data)
  assert {n: v.shape for n, v in found.items()} == {"a": (45, 2), "b": (45, 1)}


def test_two_replicas_give_all_examples_once(two_replicas):
  loop = small.loop(
    small.model, lambda: keras.optimizers.SGD(0.1), strategy=two_replicas
  )
  loop.fit(small.data(), 1)
  want = loop.model(X, training=False).numpy()
  np.testing.assert_allclose(loop.predict(KINDS["ArrayData"]), want, rtol=1e-5)


def test_before_any_data_it_is_refused():
  with pytest.raises(ValueError, match="before it"):
    small.loop().predict(X)


@pytest.mark.parametrize(
  ("bad", "text"),
  [
    (None, "of at least an example; got None"),
    (np.zeros((0, 8)), "of at least an example; got array"),
    (np.zeros((3, 5)), "what the model takes (Input 0"),
    ([[1.0], [2.0, 3.0]], "`data` must be an array of numbers"),
    ("x", "what the model takes (Unrecognized data type"),
  ],
)
def test_bad_data_are_one_line(trained, bad, text):
  with pytest.raises(ValueError) as error:
    trained.predict(bad)
  assert text in str(error.value) and "\n" not in str(error.value)
