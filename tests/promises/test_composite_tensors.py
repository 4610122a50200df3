"""Ragged and sparse tensors of a dataset train in the graph engine."""

import keras
import numpy as np
import pytest

import trainloop
from support import composite_tensors as composite
from support import small


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("name", composite.CASES)
def test_as_in_keras(name, weights):
  net, make = composite.CASES[name]
  data = composite.data_of(make, weights)
  loop = trainloop.TrainLoop(
    lambda: composite.made(net), keras.optimizers.SGD(0.1), "mse", verbose=False
  )
  epochs = loop.fit(data, 2, validation=data).epochs
  assert loop.engine.name == "graph"
  theirs = composite.made(net)
  theirs.compile(keras.optimizers.SGD(0.1), "mse")
  expected = theirs.fit(data, epochs=2, verbose=0, validation_data=data).history
  for key, values in expected.items():
    np.testing.assert_allclose(epochs[key], values, rtol=1e-5, err_msg=key)
  weights_of = loop.model.get_weights(), theirs.get_weights()
  for ours, other in zip(*weights_of, strict=True):
    np.testing.assert_allclose(ours, other, rtol=0, atol=1e-6)
  evaluated = loop.evaluate(data)["loss"]
  np.testing.assert_allclose(evaluated, epochs["val_loss"][-1], rtol=1e-6)


@pytest.mark.parametrize("name", ["ragged", "sparse"])
def test_micro_batches_and_windows_change_nothing(name):
  net, make = composite.CASES[name]
  data = composite.data_of(make).take(2)
  plain, windows, micro = (
    composite.loop_of(net, **options)
    for options in ({"steps_per_loop": 1}, {"steps_per_loop": 7},
                    {"accumulate": 2})
  )  # fmt: skip
  rows = [one.fit(data, 2).rows["loss"] for one in (plain, windows, micro)]
  assert small.state_of(plain) == small.state_of(windows)
  np.testing.assert_array_equal(rows[0], rows[1])
  np.testing.assert_allclose(rows[0], rows[2], rtol=1e-5)


@pytest.mark.parametrize("name", ["ragged", "sparse"])
def test_a_run_goes_on(name, tmp_path):
  net, make = composite.CASES[name]
  data = composite.data_of(make)
  whole = composite.loop_of(net)
  whole.fit(data, 3)

  def stop(at):
    if at["step"] == 4:
      loop.stop()

  options = {"workdir": str(tmp_path), "steps_per_loop": 1}
  loop = composite.loop_of(net, on_window=stop, **options)
  assert loop.fit(data, 3).stop_reason == "preempted"
  again = composite.loop_of(net, **options)
  rows = again.fit(data, 3).rows
  assert len(rows["loss"]) == 9
  assert small.state_of(again) == small.state_of(whole)


def test_xla_is_refused_with_the_reason():
  net, make = composite.CASES["ragged"]
  with pytest.raises(ValueError, match="ragged or sparse tensors"):
    composite.loop_of(net, compile="xla").fit(composite.data_of(make), 1)


@pytest.mark.parametrize("name", ["ragged", "sparse"])
def test_of_files_and_into_tensorboard(name, tmp_path):
  net, make = composite.CASES[name]

  def read(context):
    del context
    return composite.data_of(make)

  sharded = trainloop.ShardedData(read, steps_per_epoch=3)
  loop = composite.loop_of(net, log_graph=True, workdir=str(tmp_path))
  epochs = loop.fit(sharded, 1, validation=sharded).epochs
  alone = (
    composite.loop_of(net)
    .fit(composite.data_of(make), 1, validation=composite.data_of(make))
    .epochs
  )
  for key, values in alone.items():
    np.testing.assert_allclose(epochs[key], values, rtol=1e-6)
