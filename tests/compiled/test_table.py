"""Rows of hyperparameters: what a schedule, a plateau and rewinds make."""

import keras
import numpy as np
import pytest

import kernels
from support import small
from trainloop.compiled import table as table_lib

SCHEDULES = {
  "cosine": kernels.Cosine(0.1, 40),
  "one_cycle": kernels.OneCycle(0.1, 40),
}


@pytest.fixture(scope="module")
def loop():
  """A loop that has trained 12 updates."""
  made = small.loop(compile="xla")
  made.fit(small.data(), 1, schedule=kernels.Constant(0.1))
  return made


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("begun", [0, 5])
def test_a_row_is_the_kernels_values_times_the_scales(loop, name, begun):
  schedule, state = SCHEDULES[name], loop.trainee.state
  state.schedule_start.assign(12 - begun)
  state.rate_scale.assign(0.5)
  state.judge.scale.assign(0.1)
  try:
    rows = loop.programs.table(schedule)(20).numpy()
  finally:
    state.rate_scale.assign(1.0)
    state.judge.scale.assign(1.0)
  rates, momenta = (
    None if values is None else values[begun:]
    for values in kernels.tabulate(schedule, begun + 20)
  )
  want = [rates * np.float32(0.1) * np.float32(0.5)]
  want += [momenta] if schedule.moves_momentum else []
  assert rows.dtype == np.float32
  np.testing.assert_array_equal(rows, np.stack(want, axis=1))


def test_columns_are_what_a_schedule_moves():
  columns = {k: table_lib.columns_of(s) for k, s in SCHEDULES.items()}
  assert columns == {
    "cosine": ("learning_rate",),
    "one_cycle": ("learning_rate", "momentum"),
  }


def test_a_momentum_that_stands_still_fills_its_column(loop):
  columns = table_lib.columns_of(SCHEDULES["one_cycle"])
  rows = loop.programs.table(SCHEDULES["cosine"], columns)(4).numpy()
  np.testing.assert_array_equal(rows[:, 1], np.float32([0.9] * 4))


@pytest.mark.parametrize("engine", ["graph", "xla"])
def test_one_window_serves_every_schedule(engine):
  loop = small.loop(compile=engine, optimizer=keras.optimizers.Adam())
  for schedule, epochs in (
    (kernels.Constant(0.1), 1),
    (kernels.Cosine(0.1, 36), 3),
    (kernels.Exponential(0.1, 12, 0.5), 7),
  ):
    start = loop.global_step
    rows = loop.fit(small.data(), epochs, schedule=schedule).rows
    rates = kernels.tabulate(schedule, 12 * epochs)[0]
    assert rows["learning_rate"].tobytes() == rates.tobytes()
    assert loop.global_step == start + 12 * epochs
  assert loop.traces == 1
  loop.fit(small.data(), 1, schedule=kernels.OneCycle(0.1, 12))
  assert loop.traces == 2, "a momentum that moves is another column"


def test_another_own_momentum_is_another_program():
  """It is a constant of the program, and rows say what was used."""
  loop = small.loop()
  loop.fit(small.data(), 1, schedule=kernels.Constant(0.1))
  loop.optimizer.momentum = 0.5
  rows = loop.fit(small.data(), 1, schedule=kernels.Constant(0.1)).rows
  assert set(rows["momentum"].tolist()) == {0.5}
