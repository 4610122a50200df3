"""The optimizer's part of an update, compiled inside TensorFlow's graph."""

import keras
import numpy as np
import pytest

import kernels
import trainloop
from support import small
from trainloop.compiled import optimizer_step
from trainloop.compiled.optimizer_step import OptimizerStep

OPTIMIZERS = {
  "sgd": lambda: keras.optimizers.SGD(momentum=0.9, nesterov=True),
  "adam": lambda: keras.optimizers.Adam(clipnorm=0.5),
  "adamw_ema": lambda: keras.optimizers.AdamW(weight_decay=0.1, use_ema=True),
  "muon": lambda: keras.optimizers.Muon(),
}


class Own(keras.optimizers.SGD):
  """A user's optimizer."""


def own_constraint(weight):
  return weight


@pytest.fixture
def pays(monkeypatch):
  """Small models are worth a compilation."""
  monkeypatch.setattr(optimizer_step, "_PAYS_FROM", 1)


def train(optimizer, net=None, data=None, **options):
  loop = small.loop(
    small.model(rich=True) if net is None else net,
    optimizer,
    schedule=kernels.OneCycle(0.05, 36),
    compile="graph",
    **options,
  )
  history = loop.fit(small.data() if data is None else data, 3)
  return loop, history


def step_of(loop):
  """The `OptimizerStep` of a window, and whether its graph has XLA's mark."""
  source = small.data()
  window = loop.programs.window(("learning_rate", "momentum"), source)
  graph = window._feed._compiled
  (function,) = graph.values()
  text = str(function.get_concrete_function().graph.as_graph_def())
  return window._update._step, '"_XlaMustCompile"' in text


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_is_the_update_of_keras(pays, monkeypatch, name):
  compiled, history = train(OPTIMIZERS[name]())
  assert compiled.engine.name == "graph"
  step, marked = step_of(compiled)
  assert step.compiles and marked
  monkeypatch.setattr(optimizer_step, "_PAYS_FROM", 1 << 60)
  plain, want = train(OPTIMIZERS[name]())
  step, marked = step_of(plain)
  assert not step.compiles and not marked
  for column in ("learning_rate", "momentum", "skipped"):
    assert history.rows[column].tobytes() == want.rows[column].tobytes()
  for column in ("loss", "grad_norm"):
    np.testing.assert_allclose(history.rows[column], want.rows[column], 2e-5)
  for mine, theirs in zip(
    [*compiled.model.variables, *compiled.optimizer.variables],
    [*plain.model.variables, *plain.optimizer.variables],
    strict=True,
  ):
    np.testing.assert_allclose(mine, theirs, rtol=2e-4, atol=2e-6)


def test_exact_bias_correction_and_averages_are_in_it(pays, monkeypatch):
  more = {"bias_correction": "exact", "average": trainloop.EMA(0.9)}
  made = [train(keras.optimizers.Adam(), **more)[0]]
  monkeypatch.setattr(optimizer_step, "_PAYS_FROM", 1 << 60)
  made.append(train(keras.optimizers.Adam(), **more)[0])
  left = [one.trainee.state.coefficients.products for one in made]
  products = [float(one["beta_1"]) for one in left]
  assert products[0] == products[1] < 1.0
  for mine, theirs in zip(*(m.model.get_weights() for m in made), strict=True):
    np.testing.assert_allclose(mine, theirs, rtol=2e-4, atol=2e-6)


def test_no_window_matters_and_a_refused_update_changes_nothing(pays):
  x, y = small.arrays()
  x[40] = 1e38  # its update is not finite
  ends = []
  for steps_per_loop in (1, 7, 100):
    data = trainloop.ArrayData(x, y, batch_size=8, seed=0)
    loop, history = train(
      keras.optimizers.Adam(),
      small.model(),
      data,
      on_nonfinite="skip",
      steps_per_loop=steps_per_loop,
    )
    applied = int(loop.optimizer.iterations.numpy())
    assert applied == 36 - history.rows["skipped"].sum() < 36
    assert step_of(loop)[0].compiles
    rows = [values.tobytes() for values in history.rows.values()]
    ends.append((small.state_of(loop), *rows))
  assert ends[0] == ends[1] == ends[2]


def constrained(constraint):
  net = keras.Sequential(
    [
      keras.layers.Input((8,)),
      keras.layers.Dense(3, kernel_constraint=constraint),
    ]
  )
  return net.trainable_variables


@pytest.mark.parametrize(
  ("optimizer", "constraint", "jit", "compiles"),
  [
    (keras.optimizers.SGD, None, False, True),
    (keras.optimizers.SGD, keras.constraints.UnitNorm(), False, True),
    (keras.optimizers.SGD, own_constraint, False, False),
    (Own, None, False, False),
    (keras.optimizers.SGD, None, True, False),
  ],
)
def test_only_what_keras_wrote_is_compiled(
  pays, optimizer, constraint, jit, compiles
):
  loop = small.loop(optimizer=optimizer(0.1))
  loop.evaluate(small.data())  # makes the state
  trainee = loop.trainee
  variables = constrained(constraint)
  step = OptimizerStep(
    trainee.strategy, trainee.binding, variables, trainee.state, jit
  )
  assert step.compiles == compiles


def test_a_small_model_is_left_to_the_graph():
  loop, _ = train(keras.optimizers.Adam())
  assert loop.model.count_params() < optimizer_step._PAYS_FROM
  step, marked = step_of(loop)
  assert not step.compiles and not marked
