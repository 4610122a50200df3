"""Every optimizer of Keras does what its formula says, whoever applies it.

Keras by itself, the loop's graph and the loop's XLA against NumPy's float64:
all options that change an update, decay and its exceptions, clipping, constant
and moving rates, and momenta that a schedule moves.
"""

import functools

import keras
import numpy as np
import pytest

import trainloop
from support import formula_mutants, optimizer_cases, small
from support.optimizer_cases import CASES
from trainloop.model import scheduled_optimizer

# A fifth of it is the largest error that was seen: Adam divides by the root of
# 1 - 0.999^t, which float32 has to five digits. Most err far less.
TOLERANCE = {"rtol": 5e-5, "atol": 1e-5}


def by_keras(case):
  """Weights that `optimizer.apply` moved, called eagerly."""
  net = optimizer_cases.model()
  optimizer = optimizer_cases.optimizer(case, net)
  for step, (rate, moved) in enumerate(case.rows()):
    optimizer.learning_rate = rate
    for name, value in moved.items():
      setattr(optimizer, name, value)
    weights = [w.astype(np.float64) for w in net.get_weights()]
    slopes = optimizer_cases.gradients(weights, step)
    slopes = [keras.ops.convert_to_tensor(g, "float32") for g in slopes]
    optimizer.apply(slopes, net.trainable_variables)
  return net.get_weights()


def by_loop(case, compile):
  """Weights that a fit moved."""
  net = optimizer_cases.model()
  loop = small.loop(
    net,
    optimizer_cases.optimizer(case, net),
    loss="mse",
    metrics=None,
    schedule=case.schedule,
    compile=compile,
  )
  size = optimizer_cases.EXAMPLES
  data = trainloop.ArrayData(
    *optimizer_cases.batches(), batch_size=size, shuffle=False
  )
  loop.fit(data, 1)
  return net.get_weights()


# What always runs. All cases through both are long: the rest repeats formulas
# that Keras by itself shows, in another engine.
ALWAYS = {
  "graph": (
    "SGD clipvalue",
    "SGD nesterov",
    "SGD moving",
    "RMSprop moving",
    "Adagrad",
    "Adadelta",
    "Adam options",
    "AdamW moving",
    "Adamax options",
    "Nadam options",
    "Ftrl",
    "Lion options",
    "Lamb moving",
    "Adafactor",
    "Muon options",
  ),
  "xla": (
    "SGD nesterov moving",
    "RMSprop centered",
    "Adagrad options",
    "Adadelta options",
    "Adam moving",
    "AdamW options",
    "Adamax moving",
    "Nadam moving",
    "Ftrl options",
    "Lion moving",
    "Lamb options",
    "Adafactor options",
    "Muon moving",
  ),
}
# Errors that are none, or of 1e-7.
HARMLESS = {
  "rmsprop: rho * s.get('mean', 0.0) + (1 - rho) * g -> "
  "rho * s.get('mean', 0.0) - (1 - rho) * g",  # it is squared
  "lion: rate * np.sign(beta_1 * m + (1 - beta_1) * g) -> "
  "rate / np.sign(beta_1 * m + (1 - beta_1) * g)",
  "adafactor: 1 -> 1.1",  # a number of dimensions
  "adafactor: 0.0 -> 1.0",  # times the first beta_2, 0
  "muon: np.linalg.norm(sizes) + 1e-07 -> np.linalg.norm(sizes) - 1e-07",
  "muon: 1e-07 -> 1.1e-07",
}


def fits():
  """Parameters of all fits: (case, engine)."""
  for name in CASES:
    for engine, always in ALWAYS.items():
      marks = () if name in always else pytest.mark.long
      yield pytest.param(name, engine, marks=marks)


def check(found, case):
  for mine, exact in zip(found, optimizer_cases.expected(case), strict=True):
    np.testing.assert_allclose(mine, exact, **TOLERANCE)


@pytest.mark.parametrize("name", CASES)
def test_keras_by_itself_follows_the_formula(name):
  check(by_keras(CASES[name]), CASES[name])


@pytest.mark.parametrize(("name", "compile"), fits())
def test_a_fit_follows_the_formula(name, compile):
  check(by_loop(CASES[name], compile), CASES[name])


def differs(weights, others):
  """Whether they differ by far more than the comparison lets pass."""
  close = {name: 10 * value for name, value in TOLERANCE.items()}
  pairs = zip(weights, others, strict=True)
  return not all(np.allclose(a, b, **close) for a, b in pairs)


def sees(wrong, case, want):
  """Whether a case tells a wrong rule from the right one."""
  try:
    with np.errstate(all="ignore"):
      return differs(want, optimizer_cases.expected(case, wrong))
  except (TypeError, ZeroDivisionError, np.linalg.LinAlgError):
    return True  # it does not even run


@pytest.mark.parametrize("name", CASES)
def test_every_option_counts(name):
  case = CASES[name]
  want = optimizer_cases.expected(case)
  others = {
    option: case._replace(
      options={k: v for k, v in case.options.items() if k != option}
    )
    for option in case.options
  }
  if case.spared:
    others["spared"] = case._replace(spared=())
  for option, other in others.items():
    counts = differs(want, optimizer_cases.expected(other))
    # Keras bounds Adafactor's rate by 1 / sqrt(t) without it, too.
    assert counts == (option != "relative_step"), option


@pytest.mark.parametrize(
  "rule", optimizer_cases.rules(), ids=lambda r: r.__name__
)
def test_a_wrong_formula_is_seen(rule):
  cases = [case for case in CASES.values() if case.rule is rule]
  wants = [optimizer_cases.expected(case) for case in cases]
  passed = {
    name
    for name, wrong in formula_mutants.of(rule)
    if not any(map(functools.partial(sees, wrong), cases, wants))
  }
  assert passed == {n for n in HARMLESS if n.startswith(f"{rule.__name__}:")}


def test_every_optimizer_is_here():
  kinds = [k for k in vars(keras.optimizers).values() if isinstance(k, type)]
  base = keras.optimizers.Optimizer
  known = {k.__name__ for k in kinds if issubclass(k, base) and k is not base}
  here = {case.kind for case in CASES.values()}
  assert here == known - set(scheduled_optimizer.REFUSED)
  for names in ALWAYS.values():
    assert {CASES[name].kind for name in names} == here
