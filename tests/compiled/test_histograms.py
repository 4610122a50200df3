"""Histograms of weights and gradients: right, at their steps, and no cost."""

import numpy as np
import pytest
import tensorflow as tf

import kernels
from support import small, workdirs
from trainloop.compiled import histograms

EPOCHS = 3
STEPS = 12 * EPOCHS


def make(workdir, **options):
  return small.loop(
    small.model(rich=options.pop("rich", False)),
    schedule=kernels.OneCycle(0.1, STEPS),
    workdir=workdir,
    **options,
  )


def values():
  nothing = np.full(4, np.nan)
  return {
    "normal": np.random.default_rng(0).normal(size=(50, 40)),
    "one_value": np.full(7, 2.5),
    "some_not_finite": np.array([1.0, np.nan, 3.0, np.inf, 2.0]),
    "none_finite": nothing,
    "edges": np.arange(31.0),
  }


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("name", values())
def test_a_table_is_numpys_histogram(name, jit):
  given = values()[name]
  made = tf.function(histograms.table, jit_compile=jit)
  found = made(tf.constant(given, tf.float32)).numpy()
  finite = given[np.isfinite(given)].astype(np.float32).astype(np.float64)
  assert found.shape == (30, 3)
  assert found[:, 2].sum() == len(finite)
  if name == "none_finite":
    assert not found.any()
    return
  assert found[0, 0] == finite.min() and found[-1, 1] == finite.max()
  np.testing.assert_array_equal(found[1:, 0], found[:-1, 1])
  if name == "one_value":
    assert found[-1].tolist() == [2.5, 2.5, 7]
    return
  counts, edges = np.histogram(finite, 30)
  np.testing.assert_array_equal(found[:, 2], counts)
  np.testing.assert_allclose(found[:, 1], edges[1:], atol=1e-12)


@pytest.fixture(scope="module", params=["xla", "graph"])
def run(request, tmp_path_factory):
  workdir = tmp_path_factory.mktemp("run")
  options = {"compile": request.param, "rich": request.param == "graph"}
  loop = make(workdir, histograms_every="1ep", **options)
  loop.fit(small.data(), EPOCHS)
  return workdir, loop, options


def test_at_each_epochs_end_with_every_value_counted(run):
  workdir, loop, _ = run
  found = workdirs.histograms(workdir / "train")
  model = loop.model
  weights = {f"weights/{w.path}": w for w in model.weights}
  trained = {f"gradients/{w.path}": w for w in model.trainable_variables}
  assert set(found) == {*weights, *trained}
  for tag, variable in {**weights, **trained}.items():
    assert list(found[tag]) == [11, 23, 35], tag
    for table in found[tag].values():
      assert table[:, 2].sum() == variable.numpy().size, tag
  for tag, variable in weights.items():
    values = variable.numpy()
    table = found[tag][STEPS - 1]
    assert (table[0, 0], table[-1, 1]) == (values.min(), values.max()), tag


def test_the_gradients_are_the_updates_own(tmp_path):
  """Of an SGD without momentum an update moves a weight by lr times it."""
  before = {}

  def keep(window):
    if window["step"] in (9, 10):
      before[window["step"]] = [w.numpy() for w in loop.model.weights]

  loop = small.loop(
    optimizer="sgd",
    schedule=kernels.Constant(0.1),
    workdir=tmp_path,
    histograms_every="5st",
    steps_per_loop=3,
    on_window=keep,
  )
  loop.fit(small.data(), 1)
  found = workdirs.histograms(tmp_path / "train")
  for i, weight in enumerate(loop.model.trainable_variables):
    table = found[f"gradients/{weight.path}"][9]
    gradient = (before[9][i] - before[10][i]) / 0.1
    ends = table[0, 0], table[-1, 1]
    want = gradient.min(), gradient.max()
    np.testing.assert_allclose(ends, want, rtol=1e-3, atol=1e-5)


def test_no_bit_depends_on_windows_or_on_being_seen(run, tmp_path):
  _, loop, options = run
  want = small.state_of(loop)
  rows = loop.history.rows
  for name, more in (
    ("short", {"histograms_every": "1ep", "steps_per_loop": 5}),
    ("off", {}),
  ):
    other = make(tmp_path / name, **more, **options)
    other.fit(small.data(), EPOCHS)
    assert small.state_of(other) == want, name
    for column, values in other.history.rows.items():
      assert values.tobytes() == rows[column].tobytes(), (name, column)
  assert not workdirs.histograms(tmp_path / "off" / "train")
  short, long = (
    workdirs.histograms(w / "train") for w in (tmp_path / "short", run[0])
  )
  # The same order, but Keras counts layers in their names.
  for tables, others in zip(long.values(), short.values(), strict=True):
    assert [t.tobytes() for t in tables.values()] == [
      t.tobytes() for t in others.values()
    ]
