"""Evaluation in parts: exact, once compiled, and the training metrics stay."""

import keras
import numpy as np
import pytest

import kernels
from support import small
from trainloop.data import staging

ENGINES = ["graph", "xla"]


@pytest.fixture(autouse=True)
def short(monkeypatch):
  """Parts of three batches, so that a few examples make several."""
  monkeypatch.setattr(staging, "_CHUNK_STEPS", 3)


def metrics():
  return ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2)]


def loop(engine, **options):
  options = {"metrics": metrics(), "compile": engine, **options}
  return small.loop(optimizer=keras.optimizers.Adam(), **options)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("examples", [4, 8, 24, 32, 61])
def test_it_is_keras_own_over_all_examples(engine, examples):
  data = small.data(examples, 8)
  values = (made := loop(engine)).evaluate(data)
  x, y = small.arrays(examples)
  model = small.model()
  model.compile(
    loss="sparse_categorical_crossentropy",
    metrics=metrics(),
  )
  want = model.evaluate(x, y, batch_size=8, verbose=0, return_dict=True)
  assert values.keys() == want.keys()
  for name, value in want.items():
    assert values[name] == pytest.approx(value, rel=1e-5), name
  assert made.evaluate(data) == values


@pytest.mark.parametrize("examples", [32, 61])
def test_no_bit_depends_on_the_parts(monkeypatch, examples):
  values = []
  for steps in (1, 3, 64):
    monkeypatch.setattr(staging, "_CHUNK_STEPS", steps)
    values.append(loop("xla").evaluate(small.data(examples, 8)))
  # Out of arrays with one row XLA makes another program.
  assert values[1] == values[2]
  assert values[0] == pytest.approx(values[1], rel=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_data_of_every_length_share_a_program(engine):
  made = loop(engine)
  for examples in (16, 8, 40, 96):
    made.evaluate(small.data(examples, 8))
  assert made.programs.evaluation.traces == 1
  made.evaluate(small.data(21, 8))
  made.evaluate(small.data(45, 8))  # the last of both has five examples
  assert made.programs.evaluation.traces == (2 if engine == "xla" else 1)


class Stop(Exception):
  pass


@pytest.mark.parametrize("engine", ENGINES)
def test_training_metrics_outlive_an_end_between_two_parts(monkeypatch, engine):
  made, data = loop(engine), small.data(61, 8)
  made.fit(small.data(), 1, schedule=kernels.Constant(0.1))
  state = [v.value for v in made.trainee.objective.variables]
  for i, variable in enumerate(state):
    variable.assign(np.full(variable.shape, i + 2.0, variable.dtype.name))
  before = small.digest(state)
  evaluation = made.programs.evaluation
  reset = evaluation.reset

  def resets():
    reset()
    raise Stop

  monkeypatch.setattr(evaluation, "reset", resets)
  with pytest.raises(Stop):
    made.evaluate(data)
  assert small.digest(state) == before
  monkeypatch.undo()
  call, calls = evaluation._feed.call, []

  def stops(*given):
    calls.append(1)
    if len(calls) == 2:
      raise Stop
    return call(*given)

  monkeypatch.setattr(evaluation._feed, "call", stops)
  with pytest.raises(Stop):
    made.evaluate(data)
  assert small.digest(state) == before
  monkeypatch.undo()
  assert made.evaluate(data) == made.evaluate(data)
  assert small.digest(state) == before
