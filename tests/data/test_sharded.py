"""Data of which each worker reads a part, with one worker: all that asks for
the size of its batches, which nobody knows."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import trainloop
from support import small

X, Y = small.arrays(48)


def read(context):
  size = context.get_per_replica_batch_size(8)
  return tf.data.Dataset.from_tensor_slices((X, Y)).batch(size)


def sharded():
  return trainloop.ShardedData(read, steps_per_epoch=6)


def arrays():
  return trainloop.ArrayData(X, Y, batch_size=8, shuffle=False)


def losses(data, **options):
  loop = small.loop(compile="graph", **options)
  return loop.fit(data, 2, validation=data).rows["loss"]


@pytest.mark.parametrize("accumulate", [2, 3])
def test_micro_batches_of_it_are_those_of_arrays(accumulate):
  """Three do not divide 8 examples: shares of an unknown size differ by one."""
  found = losses(sharded(), accumulate=accumulate)
  np.testing.assert_allclose(found, losses(arrays()), rtol=1e-5)


def test_a_workdir_logs_no_examples_a_second(tmp_path):
  found = losses(sharded(), workdir=tmp_path / "run", verbose=True)
  assert found.tobytes() == losses(arrays()).tobytes()


def test_a_model_of_a_fixed_batch_size_takes_it():
  net = keras.Sequential(
    [
      keras.layers.Input((8,), batch_size=8),
      keras.layers.Dense(3, activation="softmax"),
    ]
  )
  assert np.isfinite(losses(sharded(), net=net)).all()


def test_both_engines_are_asked_for_and_the_graph_runs():
  loop = small.loop(compile="measure")
  assert len(loop.fit(sharded(), 1).rows["loss"]) == 6


def test_a_sweep_reads_it():
  loop = small.loop(accumulate=2)
  sweep = trainloop.sweep_learning_rate(loop, sharded(), steps=4)
  assert len(sweep.losses) == 4


def test_what_read_raises_is_its_own_error():
  def broken(context):
    raise OSError("no such shard")

  with pytest.raises(OSError, match="no such shard"):
    trainloop.ShardedData(broken, 3)
