"""Data that is not on the device: the same bits, and bounded memory."""

import numpy as np
import pytest
import tensorflow as tf

from support import interruption, small
from trainloop.data import staging

ENGINES = ("xla", "graph")


def trained(data, engine, validation=None, **options):
  loop = small.loop(
    small.model(rich=engine == "graph"), compile=engine, **options
  )
  history = loop.fit(data, 3, validation=validation)
  return loop, history


def batches(examples=96, size=8, drop=True):
  found = tf.data.Dataset.from_tensor_slices(small.arrays(examples))
  return found.batch(size, drop_remainder=drop)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("drop", [True, False])
def test_arrays_too_large_for_the_device_train_the_same(engine, drop):
  options = {"examples": 100, "drop_remainder": drop, "shuffle": True}
  validation = small.data(30, 8, seed=1)
  resident, rows = trained(small.data(**options), engine, validation)
  for window in (1, 5, "auto"):
    streamed, found = trained(
      small.data(**options),
      engine,
      validation,
      resident_mb=1e-6,
      staging_mb=0.01,
      steps_per_loop=window,
    )
    assert small.state_of(streamed) == small.state_of(resident)
    np.testing.assert_array_equal(found.rows["loss"], rows.rows["loss"])
    for name, values in rows.epochs.items():
      np.testing.assert_allclose(found.epochs[name], values, rtol=1e-6)


@pytest.fixture(scope="module")
def reference():
  return trained(small.data(96, 8, shuffle=False), "xla")


@pytest.mark.parametrize("options", [
  {"steps_per_loop": 1},
  {"steps_per_loop": 5},
  {"steps_per_loop": "auto"},
  {"staging_mb": 0.006},
])  # fmt: skip
@pytest.mark.parametrize("endless", [False, True])
def test_a_dataset_in_xla(reference, options, endless):
  loop = small.loop(compile="auto", **options)
  dataset, steps = batches(), None
  if endless:
    dataset, steps = dataset.repeat(), 12
  history = loop.fit(dataset, 3, steps_per_epoch=steps)
  assert loop.engine.name == "xla" and loop.traces == 1
  assert small.state_of(loop) == small.state_of(reference[0])
  rows, epochs = reference[1].rows, reference[1].epochs
  np.testing.assert_array_equal(history.rows["loss"], rows["loss"])
  for name, values in epochs.items():
    np.testing.assert_array_equal(history.epochs[name], values)


def test_a_run_on_a_dataset_goes_on_in_a_stretch(reference, tmp_path):
  def run():
    loop = small.loop(workdir=tmp_path, checkpoint_every="5st", compile="xla")
    loop.fit(batches(), 3)
    return loop

  interruption.cut_before(2, run)
  again = run()
  assert again.resumed_from
  assert small.state_of(again) == small.state_of(reference[0])


def test_batches_that_may_differ_go_to_the_graph():
  loop = small.loop()
  loop.fit(batches(drop=False), 1)
  assert loop.engine.name == "graph"
  assert "drop_remainder" in loop.engine.reason


def test_how_many_batches_are_staged():
  memory = staging.Memory(resident_mb=1.0, staging_mb=8.0)
  assert memory.holds(2**20) and not memory.holds(2**20 + 1)
  assert memory.steps(2**20) == 2 and memory.steps(2**30) == 1
  assert staging.Memory().holds(1) and not staging.Memory().holds(2**50)
  spec = (tf.TensorSpec((8, 4)), tf.TensorSpec((8,), tf.int64), None)
  assert staging.size_of(spec) == 8 * 4 * 4 + 8 * 8


@pytest.mark.parametrize("name", ["resident_mb", "staging_mb"])
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), "much"])
def test_bad_limits(name, value):
  with pytest.raises(ValueError, match=f"`{name}`"):
    small.loop(**{name: value})
