"""Micro-batches: the same update, in parts."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernels
import trainloop
from support import small
from trainloop.devices import strategies

OPTIMIZERS = {
  "sgd": lambda: keras.optimizers.SGD(momentum=0.9, nesterov=True),
  "adam": lambda: keras.optimizers.Adam(),
}
ENGINES = ("graph", "xla")
STEPS = 54  # 9 epochs of 5 batches of 16 and one of 10


def weighted():
  x, y = small.arrays(90)
  weight = np.random.default_rng(1).uniform(0.5, 2, 90).astype("float32")
  return trainloop.ArrayData(x, y, weight, batch_size=16, drop_remainder=False)


def train(accumulate, engine, optimizer="sgd", net=None, data=None, **options):
  loop = small.loop(
    small.model() if net is None else net,
    OPTIMIZERS[optimizer](),
    schedule=kernels.OneCycle(0.05, STEPS),
    compile=engine,
    accumulate=accumulate,
    **options,
  )
  return loop, loop.fit(weighted() if data is None else data, 9)


@pytest.mark.parametrize(
  ("engine", "optimizer"), [("graph", "sgd"), ("graph", "adam"), ("xla", "sgd")]
)
def test_it_is_the_update_of_the_whole_batch(engine, optimizer):
  whole, want = train(1, engine, optimizer)
  loop, history = train(4, engine, optimizer)
  assert loop.global_step == STEPS == int(loop.optimizer.iterations.numpy())
  for name in ("step", "learning_rate", "momentum", "skipped"):
    assert history.rows[name].tobytes() == want.rows[name].tobytes()
  for name in ("loss", "grad_norm"):
    np.testing.assert_allclose(history.rows[name], want.rows[name], rtol=2e-5)
  for name, values in want.epochs.items():  # every example counts once
    np.testing.assert_allclose(history.epochs[name], values, rtol=1e-5)
  for mine, theirs in zip(
    loop.model.get_weights(), whole.model.get_weights(), strict=True
  ):
    np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=2e-6)
  assert loop.traces == whole.traces


@pytest.mark.parametrize("engine", ENGINES)
def test_the_window_does_not_matter(engine):
  first, data = None, small.data(batch_size=16)
  for steps_per_loop in (1, 20):
    net = small.model(rich=True)
    loop, history = train(
      4, engine, net=net, data=data, steps_per_loop=steps_per_loop
    )
    found = [
      small.state_of(loop),
      *(v.tobytes() for v in history.rows.values()),
    ]
    first = first or found
    assert found == first


def test_batch_normalization_sees_micro_batches():
  x, y = small.arrays(16)
  norm = keras.layers.BatchNormalization(momentum=0.5)
  head = keras.layers.Dense(3, activation="softmax")
  net = keras.Sequential([keras.layers.Input((8,)), norm, head])
  data = trainloop.ArrayData(x, y, batch_size=16, shuffle=False)
  loop = small.loop(net, compile="graph", accumulate=4)
  loop.fit(data, 1)
  mean = np.zeros(8)
  for part in x.reshape(4, 4, 8):
    mean = 0.5 * mean + 0.5 * part.mean(axis=0)
  np.testing.assert_allclose(norm.moving_mean.numpy(), mean, rtol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_one_bad_example_refuses_the_whole_update(engine):
  data = small.data(16, 16, shuffle=False)
  data.arrays[0][13] = np.nan  # the last of four micro-batches
  net = small.model(rich=True)
  loop = small.loop(net, compile=engine, accumulate=4, on_nonfinite="skip")
  loop.evaluate(small.data(16, 16))
  before = small.digest(net.variables)
  history = loop.fit(data, 1)
  assert history.rows["skipped"].tolist() == [1.0]
  assert small.digest(net.variables) == before
  assert not any(np.any(v) for v in loop.optimizer.variables[2:])
  assert history.epochs["accuracy"].tolist() == [0.0]  # of no example
  assert loop.global_step == 1


def test_a_datasets_element_is_an_updates_batch():
  x, y = small.arrays(90)
  arrays = trainloop.ArrayData(
    x, y, batch_size=16, shuffle=False, drop_remainder=False
  )
  dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)
  loop, history = train(4, "graph", data=dataset)
  other, want = train(4, "graph", data=arrays)
  assert history.rows["loss"].tobytes() == want.rows["loss"].tobytes()
  assert small.state_of(loop) == small.state_of(other)


class Spare(keras.layers.Layer):
  """Has a weight that no loss depends on."""

  def build(self, shape):
    self.used = self.add_weight(shape=(shape[-1],), initializer="ones")
    self.spare = self.add_weight(shape=(2,), initializer="ones")

  def call(self, x):
    return x * self.used


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_weights_without_a_gradient_stay(capsys):
  head = keras.layers.Dense(3, activation="softmax")
  net = keras.Sequential([keras.layers.Input((8,)), Spare(), head])
  used, spare = net.layers[0].used, net.layers[0].spare
  train(4, "graph", "adam", net=net)
  assert spare.numpy().tolist() == [1.0, 1.0]
  assert np.any(used.numpy() != 1.0)


def test_memory_holds_the_activations_of_one_micro_batch():
  def shapes(accumulate):
    data = small.data(96, 32)
    net = keras.Sequential(
      [
        keras.layers.Input((8,)),
        keras.layers.Dense(77, activation="relu"),
        keras.layers.Dense(3, activation="softmax"),
      ]
    )
    loop = small.loop(net, compile="xla", accumulate=accumulate)
    loop.evaluate(data)
    replica = loop.programs.replica
    count = strategies.counted(tf.constant(32), 1)
    run = tf.function(
      lambda x, y: replica.gradients((x, y, None), count)[:3],
      autograph=False,
      jit_compile=True,
    )
    x, y = small.arrays(32)
    lowered = run.experimental_get_compiler_ir(tf.constant(x), tf.constant(y))
    text = lowered("optimized_hlo")
    return {rows for rows in (4, 32) if f"f32[{rows},77]" in text}

  assert shapes(1) == {32}
  assert shapes(8) == {4}


@pytest.mark.parametrize("accumulate", [0, 1.5, True, "2"])
def test_what_is_no_count_is_refused(accumulate):
  with pytest.raises(ValueError, match="`accumulate` must be an integer >= 1"):
    small.loop(accumulate=accumulate)


def test_what_does_not_divide_is_refused(tmp_path):
  x, y = small.arrays()
  dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)
  rule = "`batch_size` must be a multiple of `accumulate` = 3; got 16"
  loop = small.loop(accumulate=3, workdir=tmp_path / "run")
  for data in (small.data(batch_size=16), dataset):
    with pytest.raises(ValueError, match=rule):
      loop.fit(data, 1)
  assert list(tmp_path.iterdir()) == []


def test_another_count_is_another_run(tmp_path):
  small.loop(accumulate=2, workdir=tmp_path).fit(small.data(), 1)
  with pytest.raises(ValueError, match="`accumulate` must be 2, as in the run"):
    small.loop(accumulate=4, workdir=tmp_path).fit(small.data(), 1)
  with pytest.raises(ValueError, match="`accumulate` must be 2, as in the run"):
    small.loop(workdir=tmp_path).fit(small.data(), 1)
