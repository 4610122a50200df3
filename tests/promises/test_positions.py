"""Where the data is after a restart: exact at every step, for every source."""

import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf

import kernels
from support import interruption, reruns, small, workdirs
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


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  """A function: engine -> the same run in many workdirs."""

  @functools.cache
  def make(engine):
    return reruns.Reruns(
      tmp_path_factory.mktemp(engine),
      small.model(rich=engine == "graph"),
      epochs=3,
      validation=lambda: small.data(8, seed=1),
      schedule=kernels.CosineRestarts(0.1, 7),
      early_stopping=None,
      steps_per_loop=4,
      compile=engine,
      validate_every="2st",  # stretches of two: some saves are inside one
      checkpoint_every="3st",
    )

  return make


@pytest.mark.parametrize("engine", ["graph", "xla"])
@pytest.mark.parametrize("source", SOURCES.values(), ids=list(SOURCES))
def test_a_run_goes_on_with_the_batch_that_comes(runs, source, engine):
  """Cut off inside the third epoch."""
  runs = runs(engine)
  whole, cut = runs.new(), runs.new()
  want = runs.outcome(whole, runs.fit(whole, source()))
  with (
    interruption.windows(
      after=lambda edge: edge.done > 28 and interruption.die()
    ),
    pytest.raises(KeyboardInterrupt),
  ):
    runs.fit(cut, source())
  assert runs.outcome(cut, runs.fit(cut, source())) == want
  assert runs.loop.resumed_from in ([27], [24])


def plain_runs(folder, **options):
  """Runs without validation that save at the ends of epochs."""
  plain = {"schedule": None, "early_stopping": None, "validate_every": "1ep"}
  plain |= {"validation": lambda: None, "checkpoint_every": "1ep"}
  return reruns.Reruns(folder, small.model(), **{**plain, **options})


@pytest.mark.parametrize("engine", ["graph", "xla"])
def test_a_fit_that_is_stopped_behind_an_epoch_goes_on(tmp_path, engine):
  """Where the shuffle was read to its end."""

  stops = []

  def look(epoch):
    if epoch["epoch"] in stops:
      runs.loop.stop()

  def fit(workdir):
    data = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(1280, seed=7)
    data = data.batch(8, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    return runs.fit(workdir, data)

  runs = plain_runs(tmp_path, epochs=6, compile=engine, on_epoch=look)
  whole, cut = runs.new(), runs.new()
  want = runs.outcome(whole, fit(whole))
  stops.append(2)
  fit(cut)
  assert runs.loop.global_step == 24
  stops.clear()
  assert runs.outcome(cut, fit(cut)) == want
  assert runs.loop.resumed_from == [24]


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
  runs = plain_runs(tmp_path, epochs=3, steps_per_loop=1)
  whole, cut = runs.new(), runs.new()
  want = runs.outcome(whole, runs.fit(whole))
  for _ in range(30):
    with interruption.windows(before=lambda edge: runs.loop.stop()):
      assert runs.fit(cut).stop_reason == "preempted"
  history = runs.fit(cut)
  assert runs.loop.resumed_from == list(range(1, 31))
  found = runs.outcome(cut, history)
  for name, values in want["events"].items():
    assert found["events"][name] == values, name
  assert found == want
  steps, _ = workdirs.scalars(cut / "train")["loss"]
  assert steps == list(range(36))
