"""Ragged and sparse tensors of a dataset train in the graph engine."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import small
import trainloop

N = 22  # a partial last batch of 6
Y = np.arange(N, dtype="float32")[:, None] / N


class Pool(keras.Model):
  """The mean of the numbers that a ragged row has."""

  def __init__(self):
    super().__init__()
    self.dense = keras.layers.Dense(1, kernel_initializer="ones")

  def call(self, x):
    return self.dense(tf.reduce_mean(x, axis=1))


def _linear():
  inputs = keras.Input((5,), sparse=True)
  dense = keras.layers.Dense(1, kernel_initializer="ones")
  return keras.Model(inputs, dense(inputs))


def _both():
  given = {"a": keras.Input((5,), sparse=True), "b": keras.Input((2,))}
  dense = keras.layers.Dense(1, kernel_initializer="ones")(given["a"])
  return keras.Model(given, dense + keras.layers.Dense(1)(given["b"]))


def _sparse():
  return tf.sparse.from_dense(np.eye(N, 5, dtype="float32"))


def _ragged():
  rows = [[[1.0, i]] * (1 + i % 4) for i in range(N)]
  return tf.ragged.constant(rows, ragged_rank=1)


CASES = {
  "ragged": (Pool, _ragged),
  "sparse": (_linear, _sparse),
  "a dict of both kinds": (
    _both,
    lambda: {"a": _sparse(), "b": np.ones((N, 2), "float32")},
  ),
}


def data_of(make, weights=False):
  parts = (make(), Y, Y[:, 0] + 0.5) if weights else (make(), Y)
  return tf.data.Dataset.from_tensor_slices(parts).batch(8)


def _made(make):
  keras.utils.set_random_seed(0)
  return make()


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_as_in_keras(name, weights):
  net, make = CASES[name]
  data = data_of(make, weights)
  loop = trainloop.TrainLoop(
    lambda: _made(net), keras.optimizers.SGD(0.1), "mse", verbose=False
  )
  epochs = loop.fit(data, 2, validation=data).epochs
  assert loop.engine.name == "graph"
  theirs = _made(net)
  theirs.compile(keras.optimizers.SGD(0.1), "mse")
  expected = theirs.fit(data, epochs=2, verbose=0, validation_data=data).history
  for key, values in expected.items():
    np.testing.assert_allclose(epochs[key], values, rtol=1e-5, err_msg=key)
  evaluated = loop.evaluate(data)["loss"]
  np.testing.assert_allclose(evaluated, epochs["val_loss"][-1], rtol=1e-6)


def loop_of(net, strategy=None, **options):
  return trainloop.TrainLoop(
    lambda: _made(net),
    lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "mse",
    strategy=strategy,
    verbose=False,
    **options,
  )


@pytest.mark.parametrize("name", ["ragged", "sparse"])
def test_micro_batches_and_windows_change_nothing(name):
  net, make = CASES[name]
  data = data_of(make).take(2)
  plain, windows, micro = (
    loop_of(net, **options)
    for options in ({"steps_per_loop": 1}, {"steps_per_loop": 7},
                    {"accumulate": 2})
  )  # fmt: skip
  rows = [one.fit(data, 2).rows["loss"] for one in (plain, windows, micro)]
  assert small.state_of(plain) == small.state_of(windows)
  np.testing.assert_array_equal(rows[0], rows[1])
  np.testing.assert_allclose(rows[0], rows[2], rtol=1e-5)


@pytest.mark.parametrize("name", ["ragged", "sparse"])
def test_a_run_goes_on(name, tmp_path):
  net, make = CASES[name]
  data = data_of(make)
  whole = loop_of(net)
  whole.fit(data, 3)

  def stop(at):
    if at["step"] == 4:
      loop.stop()

  options = {"workdir": str(tmp_path), "steps_per_loop": 1}
  loop = loop_of(net, on_window=stop, **options)
  assert loop.fit(data, 3).stop_reason == "preempted"
  again = loop_of(net, **options)
  rows = again.fit(data, 3).rows
  assert len(rows["loss"]) == 9
  assert small.state_of(again) == small.state_of(whole)


def test_xla_is_refused_with_the_reason():
  net, make = CASES["ragged"]
  with pytest.raises(ValueError, match="ragged or sparse tensors"):
    loop_of(net, compile="xla").fit(data_of(make), 1)


@pytest.mark.parametrize("name", ["ragged", "sparse"])
def test_of_files_and_into_tensorboard(name, tmp_path):
  net, make = CASES[name]

  def read(context):
    del context
    return data_of(make)

  sharded = trainloop.ShardedData(read, steps_per_epoch=3)
  loop = loop_of(net, log_graph=True, workdir=str(tmp_path))
  epochs = loop.fit(sharded, 1, validation=sharded).epochs
  alone = loop_of(net).fit(data_of(make), 1, validation=data_of(make)).epochs
  for key, values in alone.items():
    np.testing.assert_allclose(epochs[key], values, rtol=1e-6)
