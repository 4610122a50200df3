"""What a model measures itself: single outputs' losses, own metrics."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import trainloop

N, SIZE = 83, 16  # five whole batches and three examples


def _data(names, weights=None, kind="arrays"):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(N, 3)).astype("float32")
  # The examples of the partial batch are far from the others.
  x[N // SIZE * SIZE :] += 5.0
  y = {name: (i + 1) * x[:, :1] + i for i, name in enumerate(names)}
  weight = None
  if weights == "one":
    weight = rng.uniform(0.2, 2.0, N).astype("float32")
  elif weights == "each":
    weight = {n: rng.uniform(0.2, 2.0, N).astype("float32") for n in names}
  if kind == "dataset":
    parts = (x, y) if weight is None else (x, y, weight)
    return parts, tf.data.Dataset.from_tensor_slices(parts).batch(SIZE)
  options = {"batch_size": SIZE, "shuffle": False, "drop_remainder": False}
  return (x, y, weight), trainloop.ArrayData(x, y, weight, **options)


def _net(names):
  keras.utils.set_random_seed(0)
  x = keras.Input((3,))
  heads = {n: keras.layers.Dense(1, name=n)(x) for n in names}
  return keras.Model(x, heads)


def _expected(net, parts, names):
  """Each output's weighted mean squared error over all examples."""
  x, y, weight = (*parts, None)[:3]
  outputs = net.predict(x, verbose=0)
  found = {}
  for name in names:
    squares = (np.float64(outputs[name]) - y[name])[:, 0] ** 2
    w = weight[name] if isinstance(weight, dict) else weight
    found[name] = float(np.mean(squares if w is None else squares * w))
  return found


@pytest.mark.parametrize(
  ("compile", "names", "weights", "kind", "factors"),
  [
    ("xla", "ab", None, "arrays", None),
    ("graph", "ab", None, "arrays", None),
    ("xla", "abc", "one", "arrays", {"a": 1.0, "b": 0.5, "c": 2.0}),
    ("graph", "abc", "one", "arrays", {"a": 1.0, "b": 0.5, "c": 2.0}),
    ("graph", "ab", "each", "dataset", None),
  ],
)
def test_losses_of_single_outputs_are_means_over_examples(
  compile, names, weights, kind, factors
):
  parts, data = _data(names, weights, kind)
  net = _net(names)
  loop = trainloop.TrainLoop(
    net,
    keras.optimizers.SGD(0.0),  # training sees the same weights as evaluation
    dict.fromkeys(names, "mse"),
    loss_weights=factors,
    compile=compile,
    verbose=False,
    early_stopping=trainloop.EarlyStopping("val_b_loss"),
  )
  epochs = loop.fit(data, 1, validation=data).epochs
  expected = _expected(net, parts, names)
  total = sum((factors or {}).get(n, 1.0) * v for n, v in expected.items())
  found = loop.evaluate(data)
  for name, value in expected.items():
    for got in (epochs[f"{name}_loss"][0], epochs[f"val_{name}_loss"][0]):
      np.testing.assert_allclose(got, value, rtol=1e-6, err_msg=name)
    np.testing.assert_allclose(found[f"{name}_loss"], value, rtol=1e-6)
  np.testing.assert_allclose(found["loss"], total, rtol=1e-6)
  np.testing.assert_allclose(loop.best["value"], expected["b"], rtol=1e-6)


def test_micro_batches_count_by_their_examples_too():
  parts, data = _data("ab")
  net = _net("ab")
  loop = trainloop.TrainLoop(
    net,
    keras.optimizers.SGD(0.0),
    "mse",
    accumulate=4,
    compile="graph",
    verbose=False,
  )
  epochs = loop.fit(data, 1).epochs
  for name, value in _expected(net, parts, "ab").items():
    np.testing.assert_allclose(epochs[f"{name}_loss"][0], value, rtol=1e-6)


def test_keras_private_trackers_are_where_they_are_looked_for():
  net = _net("ab")
  net.compile("sgd", "mse")
  x, y, _ = _data("ab")[0]
  net.compute_loss(x=x, y=y, y_pred=net(x))
  trackers = net._compile_loss.metrics
  assert [one.name for one in trackers] == ["a_loss", "b_loss"]
  assert all(isinstance(one, keras.metrics.Mean) for one in trackers)
