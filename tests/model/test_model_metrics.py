"""What a model measures itself: single outputs' losses, own metrics."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import trainloop
from trainloop.data.source import adapt
from trainloop.display import summary
from trainloop.fit import introduction

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


X = np.random.default_rng(1).normal(size=(40, 3)).astype("float32")
Y = X.sum(1, keepdims=True)


class Own(keras.Model):
  def __init__(self):
    super().__init__()
    self.dense = keras.layers.Dense(1, kernel_initializer="ones")

  def call(self, x):
    return self.dense(x)


class Adds(Own):
  def compute_metrics(self, x, y, y_pred, sample_weight=None):
    found = super().compute_metrics(x, y, y_pred, sample_weight)
    return {**found, "ratio": found["mean_absolute_error"] / 2.0}


class Changes(Own):
  def compute_metrics(self, x, y, y_pred, sample_weight=None):
    found = super().compute_metrics(x, y, y_pred, sample_weight)
    return {"percent": 100.0 * found["mean_absolute_error"]}


class Results(Own):
  def get_metrics_result(self):
    found = super().get_metrics_result()
    return {**found, "twice": 2.0 * found["mean_absolute_error"]}


class Alone(Own):
  def __init__(self):
    super().__init__()
    self.largest = keras.metrics.Mean(name="largest")

  def compute_metrics(self, x, y, y_pred, sample_weight=None):
    self.largest.update_state(keras.ops.max(y_pred))
    return {"largest": self.largest.result()}


@pytest.mark.parametrize("compile", ["xla", "graph"])
@pytest.mark.parametrize("kind", [Adds, Changes, Results, Alone])
def test_what_compute_metrics_gives_is_what_keras_shows(kind, compile):
  def made():
    keras.utils.set_random_seed(0)
    return kind()

  # Keras itself fails where its own metrics are never updated.
  metrics = None if kind is Alone else ["mean_absolute_error"]
  loop = trainloop.TrainLoop(
    made,
    keras.optimizers.SGD(0.01),
    "mse",
    metrics=metrics,
    compile=compile,
    verbose=False,
  )
  options = {"batch_size": 16, "shuffle": False, "drop_remainder": False}
  data = trainloop.ArrayData(X, Y, **options)
  epochs = loop.fit(data, 2, validation=data).epochs
  theirs = made()
  theirs.compile(keras.optimizers.SGD(0.01), "mse", metrics=metrics)
  expected = theirs.fit(
    X, Y, 16, 2, shuffle=False, verbose=0,
    validation_data=(X, Y), validation_batch_size=16,
  ).history  # fmt: skip
  names = [name for name in expected if "loss" not in name]
  assert len(names) >= 2 and set(epochs) == {
    *names,
    "epoch",
    "loss",
    "val_loss",
  }
  for name in names:
    np.testing.assert_allclose(
      epochs[name], expected[name], rtol=1e-5, err_msg=name
    )


class Trains(Own):
  def train_step(self, data):
    return {}


class Makes(Own):
  def make_train_function(self, force=False):
    return None


class Tests(Own):
  def test_step(self, data):
    return {}


class Evaluates(Own):
  def evaluate(self, *args, **options):
    return {}


def _step(model, x, y, training):
  return tf.square(model(x, training=training) - y)[:, 0]


@pytest.mark.parametrize(
  ("kind", "name"), [(Trains, "train_step"), (Makes, "make_train_function")]
)
def test_a_model_that_trains_its_own_way(kind, name):
  told = f"without a {name} of its own, .*: give it as step=; got"
  with pytest.raises(ValueError, match=told):
    trainloop.TrainLoop(kind(), "sgd", "mse")
  data = trainloop.ArrayData(X, Y, batch_size=8)
  loop = trainloop.TrainLoop(kind(), "sgd", step=_step, verbose=False)
  loop.programs.build(adapt("data", data))
  facts = introduction.of_loop(loop.trainee)
  assert facts.step == "_step" and facts.unused_methods == [name]
  assert f"_step; the model's own {name} not called" in "\n".join(
    summary.of_loop(facts)
  )
  assert np.isfinite(loop.fit(data, 1, validation=data).epochs["loss"]).all()


@pytest.mark.parametrize(
  ("kind", "name"), [(Tests, "test_step"), (Evaluates, "evaluate")]
)
def test_a_model_that_evaluates_its_own_way(kind, name):
  data = trainloop.ArrayData(X, Y, batch_size=8)
  loop = trainloop.TrainLoop(kind(), "sgd", "mse", verbose=False)
  with pytest.raises(ValueError, match=f"without a {name} of its own"):
    loop.fit(data, 1, validation=data)
  loop.fit(data, 1)
  with pytest.raises(ValueError, match=f"without a {name} of its own"):
    loop.evaluate(data)
  loop = trainloop.TrainLoop(kind(), "sgd", step=_step, verbose=False)
  assert "val_loss" in loop.fit(data, 1, validation=data).epochs


def test_compute_metrics_that_gives_no_dict():
  class Nothing(Own):
    def compute_metrics(self, x, y, y_pred, sample_weight=None):
      pass

  loop = trainloop.TrainLoop(Nothing(), "sgd", "mse", verbose=False)
  with pytest.raises(ValueError, match="compute_metrics` must be one"):
    loop.fit(trainloop.ArrayData(X, Y, batch_size=8), 1)


def test_several_losses_of_one_output_are_refused():
  loop = trainloop.TrainLoop(Own(), "sgd", ["mse", "mae"], verbose=False)
  with pytest.raises(ValueError, match=r"`loss` must be one, .*got '2 losses'"):
    loop.fit(trainloop.ArrayData(X, Y, batch_size=8), 1)
