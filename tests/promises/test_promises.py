"""One clock, logged = used, windows that do not matter, runs that repeat."""

import itertools

import keras
import numpy as np
import pytest

import kernels
from support import small

OPTIMIZERS = {
  "sgd": lambda: keras.optimizers.SGD(momentum=0.9, nesterov=True),
  "adam": lambda: keras.optimizers.Adam(),
}
STEPS = 3 * 12


def train(case, steps_per_loop):
  engine, optimizer = case
  loop = small.loop(
    small.model(rich=True),
    OPTIMIZERS[optimizer](),
    schedule=kernels.OneCycle(0.05, STEPS),
    steps_per_loop=steps_per_loop,
    compile=engine,
  )
  valid = small.data(32, 16)
  history = loop.fit(small.data(), 3, validation=valid)
  return loop, history


CASES = list(itertools.product(("graph", "xla"), sorted(OPTIMIZERS)))


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def reference(request):
  return request.param, *train(request.param, 1)


@pytest.mark.parametrize("steps_per_loop", [7, 100, "auto"])
def test_the_window_does_not_matter(reference, steps_per_loop):
  name, loop, history = reference
  other, again = train(name, steps_per_loop)
  for column, values in history.rows.items():
    assert values.tobytes() == again.rows[column].tobytes(), column
  assert small.state_of(loop) == small.state_of(other)
  for column, values in history.epochs.items():
    np.testing.assert_array_equal(values, again.epochs[column], column)


def test_the_same_run_twice(reference):
  name, loop, history = reference
  other, again = train(name, 1)
  assert history.rows["loss"].tobytes() == again.rows["loss"].tobytes()
  assert small.state_of(loop) == small.state_of(other)


def test_rows_are_the_plan_to_the_bit(reference):
  _, _, history = reference
  rates, momenta = kernels.tabulate(kernels.OneCycle(0.05, STEPS), STEPS)
  assert history.rows["step"].tolist() == list(range(STEPS))
  assert history.rows["learning_rate"].tobytes() == rates.tobytes()
  assert history.rows["momentum"].tobytes() == momenta.tobytes()


def test_one_trace_whatever_the_window(reference):
  _, loop, _ = reference
  assert loop.traces == 1
  assert train(("graph", "sgd"), 7)[0].traces == 1


def test_ten_step_epochs_compile_once():
  loop = small.loop(schedule=kernels.Constant(0.1))
  loop.fit(small.data(80, 8), 12)
  assert (loop.global_step, loop.traces) == (120, 1)


def test_the_clock_and_the_optimizer_agree(reference):
  _, loop, history = reference
  assert loop.global_step == STEPS == int(loop.optimizer.iterations.numpy())
  last = history.rows["learning_rate"][-1]
  assert float(loop.optimizer.learning_rate.numpy()) == last
