"""Where the data is after a restart: exact at every step, for every source."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

import kernels
from support import interruption, small, workdirs
from trainloop.data import source as data_lib

X, Y = small.arrays()


def plain():
  return tf.data.Dataset.from_tensor_slices((X, Y)).batch(
    8, drop_remainder=True
  )


def shuffled(seed=3):
  whole = tf.data.Dataset.from_tensor_slices((X, Y))
  return whole.shuffle(96, seed=seed).batch(8, drop_remainder=True)


def generated():
  """TensorFlow can't save its iterators; the batches of each epoch differ."""
  rounds = itertools.count()

  def examples():
    order = np.random.default_rng(next(rounds)).permutation(96)
    yield from ((X[i], Y[i]) for i in order)

  spec = (tf.TensorSpec([8], tf.float32), tf.TensorSpec([], tf.int64))
  made = tf.data.Dataset.from_generator(examples, output_signature=spec)
  made = made.batch(8, drop_remainder=True)
  return made.apply(tf.data.experimental.assert_cardinality(12))


def opaque():
  """TensorFlow can't save its iterators; a seed makes it the same again."""

  def read(x, y):
    x = tf.numpy_function(np.copy, [x], tf.float32)
    return tf.ensure_shape(x, [8]), y

  whole = tf.data.Dataset.from_tensor_slices((X, Y))
  mapped = whole.shuffle(96, seed=3).map(read)
  return mapped.batch(8, drop_remainder=True)


def endless():
  return data_lib.DatasetData(shuffled().repeat(), steps_per_epoch=10)


SOURCES = {
  "arrays": small.data,
  "plain": plain,
  "shuffled": shuffled,
  "generated": generated,
  "opaque": opaque,
  "endless": endless,
}


def make(workdir, engine):
  return small.loop(
    small.model(rich=engine == "graph"),
    workdir=workdir,
    schedule=kernels.CosineRestarts(0.1, 7),
    steps_per_loop=4,
    compile=engine,
    validate_every="2st",  # stretches of two: some saves are inside one
    checkpoint_every="3st",
  )


def fit(loop, data):
  return loop.fit(data, 3, validation=small.data(8, seed=1))


@pytest.mark.parametrize("engine", ["graph", "xla"])
@pytest.mark.parametrize("source", SOURCES.values(), ids=list(SOURCES))
def test_a_run_goes_on_with_the_batch_that_comes(tmp_path, source, engine):
  """Cut off inside the third epoch."""
  whole = make(tmp_path / "whole", engine)
  fit(whole, source())
  with (
    interruption.windows(
      after=lambda edge: edge.done > 28 and interruption.die()
    ),
    pytest.raises(KeyboardInterrupt),
  ):
    fit(make(tmp_path / "cut", engine), source())
  again = make(tmp_path / "cut", engine)
  fit(again, source())
  assert again.resumed_from in ([27], [24])
  assert small.state_of(again) == small.state_of(whole)


@pytest.mark.parametrize("engine", ["graph", "xla"])
def test_a_fit_that_is_stopped_behind_an_epoch_goes_on(tmp_path, engine):
  """Where the shuffle was read to its end."""

  def go(name, stop=None):
    def look(epoch):
      if epoch["epoch"] == stop:
        loop.stop()

    loop = small.loop(workdir=tmp_path / name, compile=engine, on_epoch=look)
    data = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(1280, seed=7)
    data = data.batch(8, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    loop.fit(data, 6)
    return loop

  whole = go("whole")
  assert go("cut", stop=2).global_step == 24
  again = go("cut")
  assert again.resumed_from == [24]
  assert small.state_of(again) == small.state_of(whole)


def test_an_order_without_a_seed_goes_on_too():
  """Nothing but the saved iterator knows what comes."""
  first = data_lib.DatasetData(shuffled(seed=None))
  first.begin(0)
  strategy = tf.distribute.get_strategy()
  iterator = first.training(strategy, 0, 0, 5).iterator
  for _ in range(5):
    next(iterator)
  kept = first.position(0, 5)
  rest = [next(iterator)[0].numpy() for _ in range(7)]
  other = data_lib.DatasetData(shuffled(seed=None))
  other.begin(0, kept)
  iterator = other.training(strategy, 0, 5, 7).iterator
  for want in rest:
    np.testing.assert_array_equal(next(iterator)[0].numpy(), want)


def test_thirty_resumes_in_a_row(tmp_path):
  def new(name):
    return small.loop(
      workdir=tmp_path / name, compile="graph", steps_per_loop=1
    )

  def fit(loop):
    return loop.fit(small.data(), 3)

  whole = new("whole")
  want = fit(whole)
  for _ in range(30):
    loop = new("cut")

    with interruption.windows(before=lambda edge, loop=loop: loop.stop()):
      assert fit(loop).stop_reason == "preempted"
  loop = new("cut")
  history = fit(loop)
  assert loop.resumed_from == list(range(1, 31))
  assert small.state_of(loop) == small.state_of(whole)
  for name, values in want.rows.items():
    assert history.rows[name].tobytes() == values.tobytes(), name
  found, known = (
    workdirs.scalars(tmp_path / name / "train") for name in ("cut", "whole")
  )
  assert found["loss"][0] == known["loss"][0] == list(range(36))
