"""compile="measure": the faster engine, and no trace of the trial."""

import keras
import pytest
import tensorflow as tf

import kernels
from support import small
from trainloop.fit import engine_trial


@pytest.fixture(autouse=True)
def short(monkeypatch):
  """A trial ends soon: which engine is faster is not the question here."""
  monkeypatch.setattr(engine_trial, "_SECONDS", 0.2)


def train(compile, data=None, **options):
  loop = small.loop(
    small.model(rich=True),
    keras.optimizers.Adam(),
    schedule=kernels.OneCycle(0.01, 36),
    compile=compile,
    **options,
  )
  loop.fit(small.data() if data is None else data, 3)
  return loop


def dataset():
  found = tf.data.Dataset.from_tensor_slices(small.arrays())
  return found.batch(8, drop_remainder=True)


@pytest.mark.parametrize("make", [small.data, dataset])
def test_it_is_the_run_of_the_winner(make):
  measured = train("measure", make())
  assert measured.traces == 2, "the fit runs a program of the trial"
  assert measured.engine.reason.startswith("measured: graph ")
  forced = train(measured.engine.name, make())
  assert small.state_of(measured) == small.state_of(forced)
  rows, expected = measured.history.rows, forced.history.rows
  assert all(rows[k].tobytes() == expected[k].tobytes() for k in expected)
  losses = measured.history.epochs["loss"]
  assert losses.tolist() == forced.history.epochs["loss"].tolist()


@pytest.mark.parametrize("slow", ["graph", "xla"])
def test_the_faster_one_stays(monkeypatch, slow, tmp_path):
  time = engine_trial._Trial._time

  def slower(self, n):
    late = (self._rehearsal.window._room is None) == (slow == "graph")
    return time(self, n) + 1e3 * late

  monkeypatch.setattr(engine_trial._Trial, "_time", slower)
  loop = train("measure", workdir=tmp_path)
  assert loop.engine.name == {"graph": "xla", "xla": "graph"}[slow]
  # The choice is the run's: it goes on in it, whatever is faster now.
  monkeypatch.setattr(engine_trial, "measure", None)
  again = train("measure", workdir=tmp_path)
  assert again.engine.name == loop.engine.name
  assert again.engine.reason == "as it was measured"


def test_what_only_the_graph_can_run_is_not_tried():
  several = tf.data.Dataset.from_tensor_slices(small.arrays()).batch(7)
  loop = small.loop(compile="measure")
  loop.fit(several, 1)
  assert loop.engine.name == "graph"
  assert "drop_remainder" in loop.engine.reason


def test_a_trial_that_is_cut_off_is_made_again(monkeypatch):
  class Cut(Exception):
    pass

  def cut(self, budget):
    raise Cut

  loop = small.loop(compile="measure")
  with monkeypatch.context() as patch, pytest.raises(Cut):
    patch.setattr(engine_trial._Trial, "run", cut)
    loop.fit(small.data(), 1)
  assert loop.engine.reason != "on trial" and loop.global_step == 0
  monkeypatch.setattr(engine_trial, "_SECONDS", 0.01)
  loop.fit(small.data(), 1)
  assert loop.engine.reason.startswith("measured: ")
