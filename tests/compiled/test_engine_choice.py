"""The rule that chooses the engine, and XLA against the graph."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernels
import trainloop
from support import small
from trainloop.data import source as data_lib

X, Y = small.arrays()
IMAGES = X.reshape(-1, 4, 2, 1)
KERNEL = np.ones((2, 2, 1, 2), np.float32)


def chosen(layers, x=X, compile="auto"):
  net = keras.Sequential([keras.layers.Input(x.shape[1:]), *layers])
  loop = small.loop(net, compile=compile)
  loop.fit(trainloop.ArrayData(x, Y, batch_size=8), 1)
  return loop.engine


def dense():
  return keras.layers.Dense(3, activation="softmax")


def test_dense_models_go_to_xla():
  engine = chosen([keras.layers.Dense(6), dense()])
  assert (engine.name, engine.reason) == (
    "xla",
    "because XLA is fast at all its ops",
  )


def test_convolutions_go_to_the_graph():
  layers = [keras.layers.Conv2D(2, 2), keras.layers.Flatten(), dense()]
  engine = chosen(layers, IMAGES)
  assert engine.name == "graph"
  assert "XLA is slow at Conv2D" in engine.reason
  layers = [keras.layers.Conv2D(2, 2), keras.layers.Flatten(), dense()]
  assert chosen(layers, IMAGES, "xla").name == "xla"


@pytest.mark.parametrize(
  "make",
  [
    lambda: keras.layers.Conv2DTranspose(2, 2),
    lambda: keras.layers.DepthwiseConv2D(2),
    lambda: keras.layers.SeparableConv2D(2, 2),
    lambda: keras.layers.Lambda(lambda x: tf.nn.conv2d(x, KERNEL, 1, "SAME")),
  ],
  ids=["transposed", "depthwise", "separable", "an op of one's own"],
)
def test_every_convolution_is_seen(make):
  engine = chosen([make(), keras.layers.Flatten(), dense()], IMAGES)
  assert engine.name == "graph" and "XLA is slow at" in engine.reason


class Eigen(keras.layers.Layer):
  """An op that XLA has no kernel for, and that no list names."""

  def call(self, x):
    square = tf.einsum("bi,bj->bij", x, x)
    values = tf.math.real(tf.stop_gradient(tf.linalg.eigvals(square)))
    return x + 0.0 * values


def test_what_xla_refuses_goes_to_the_graph():
  engine = chosen([Eigen(), dense()])
  assert engine.name == "graph"
  assert engine.reason.startswith("because XLA refuses it (")
  loop = small.loop(
    keras.Sequential([keras.layers.Input((8,)), Eigen(), dense()])
  )
  assert len(loop.fit(small.data(), 1).rows["step"]) == 12


def test_a_dataset_goes_to_the_graph():
  dataset = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
  loop = small.loop()
  loop.evaluate(dataset)
  assert loop.engine.name == "graph"
  loop = small.loop(compile="xla")
  with pytest.raises(ValueError, match="`compile` must be 'graph' or 'auto'"):
    loop.fit(dataset, 1)


def test_choosing_changes_nothing():
  net = small.model(rich=True)
  before = small.digest(net.variables)
  loop = small.loop(net)
  loop.programs.admit(source := data_lib.adapt("data", small.data()))
  loop.trainee.prepare(kernels.Constant(0.1))
  state = small.state_of(loop)
  loop.programs.compile(loop.programs.table(kernels.Constant(0.1)), source)
  assert loop.engine.name == "xla" and loop.traces == 1
  assert small.digest(net.variables) == before
  assert small.state_of(loop) == state and loop.global_step == 0


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_xla_and_graph_agree(kind):
  def train(engine):
    loop = small.loop(
      small.model(rich=False),
      getattr(keras.optimizers, kind)(),
      compile=engine,
      schedule=kernels.OneCycle(0.05, 36),
    )
    dataset = tf.data.Dataset.from_tensor_slices((X[:32], Y[:32])).batch(16)
    return loop.fit(small.data(), 3, validation=dataset)

  graph, xla = train("graph"), train("xla")
  for name in ("learning_rate", "momentum"):
    assert graph.rows[name].tobytes() == xla.rows[name].tobytes()
  for name in ("loss", "grad_norm"):
    np.testing.assert_allclose(graph.rows[name], xla.rows[name], rtol=1e-3)
  for name, values in graph.epochs.items():
    np.testing.assert_allclose(xla.epochs[name], values, rtol=1e-3)


def test_a_refused_update_in_xla():
  x = X.copy()
  data = trainloop.ArrayData(x, Y, batch_size=8, shuffle=False)
  data.arrays[0][17] = np.nan  # behind the checks: the third batch
  loops = [
    small.loop(small.model(rich=True), compile="xla", steps_per_loop=n)
    for n in (4, 1)
  ]
  for loop in loops:
    with pytest.raises(trainloop.NonFiniteError) as hit:
      loop.fit(data, 1)
    assert hit.value.step == 2 == loop.global_step
    assert len(loop.history.rows["step"]) == 2
  assert small.state_of(loops[0]) == small.state_of(loops[1])
  assert all(np.isfinite(w).all() for w in loops[0].model.get_weights())
