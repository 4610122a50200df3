"""The divisor 1 - prod beta_1(i), against Adam and its kin in NumPy."""

import keras
import numpy as np
import pytest

import kernels
import trainloop
from support import regression, small

STEPS = regression.STEPS
MOVING = kernels.OneCycle(0.05, STEPS, momentum=(0.95, 0.6))
DECAY = 0.3


def numpy_weights(kind, x, y, exact, first=1.0):
  """The weights after all steps; weight decay uses the scheduled rate."""
  table = kernels.tabulate(MOVING, STEPS)
  rates, betas = (column.astype(np.float64) for column in table)
  w, m, v = np.full((4, 1), first), np.zeros((4, 1)), np.zeros((4, 1))
  for t in range(STEPS):
    g = 2 * x[t : t + 1].T @ (x[t : t + 1] @ w - y[t : t + 1])
    m += (1 - betas[t]) * (g - m)
    v = np.maximum(0.999 * v, np.abs(g)) if kind == "Adamax" else (
      v + (1 - 0.999) * (g * g - v))  # fmt: skip
    product = np.prod(betas[: t + 1]) if exact else betas[t] ** (t + 1)
    m_hat, root = m / (1 - product), np.sqrt(1 - 0.999 ** (t + 1))
    if kind == "AdamW":
      w = w - DECAY * rates[t] * w
    if kind == "Adamax":
      step = m_hat / (v + 1e-7)
    elif kind == "Lamb":
      step = m_hat / (np.sqrt(v) / root + 1e-7)
      norms = np.linalg.norm(w), np.linalg.norm(step)
      step = step * (norms[0] / norms[1] if all(norms) else 1.0)
    else:
      step = root * m_hat / (np.sqrt(v) + 1e-7)
    w = w - rates[t] * step
  return w


def make(kind):
  options = {"weight_decay": DECAY} if kind == "AdamW" else {}
  return getattr(keras.optimizers, kind)(**options)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("kind", ["Adam", "AdamW", "Adamax", "Lamb"])
def test_equals_numpy(kind, exact):
  name = "exact" if exact else "keras"
  loop, x, y = regression.fitted(make(kind), MOVING, bias_correction=name)
  found = loop.model.get_weights()[0]
  want = numpy_weights(kind, x, y, exact)
  np.testing.assert_allclose(found, want, rtol=2e-4, atol=2e-6)
  if kind != "Lamb":  # whose trust ratio takes the divisor out
    other = numpy_weights(kind, x, y, not exact)
    assert np.abs(found - other).max() > 1e-3
  want = kernels.tabulate(MOVING, STEPS)[0]
  assert loop.history.rows["learning_rate"].tobytes() == want.tobytes()
  assert loop.optimizer.learning_rate.numpy() == want[-1]
  assert "update_step" not in vars(loop.optimizer)


def test_lamb_at_zero_weights():
  layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
  net = keras.Sequential([keras.layers.Input((4,)), layer])
  rng = np.random.default_rng(3)
  x = rng.normal(size=(STEPS, 4)).astype(np.float32)
  y = x @ rng.normal(size=(4, 1)).astype(np.float32)
  loop = small.loop(
    net,
    keras.optimizers.Lamb(),
    loss="mse",
    metrics=None,
    schedule=MOVING,
    bias_correction="exact",
  )
  loop.fit(trainloop.ArrayData(x, y, batch_size=1, shuffle=False), 1)
  want = numpy_weights("Lamb", x.astype(float), y.astype(float), True, 0.0)
  np.testing.assert_allclose(loop.model.get_weights()[0], want, rtol=2e-4)


def product(loop):
  return float(loop.trainee.state.coefficients.products["beta_1"].numpy())


def test_a_refused_update_does_not_count():
  x, y = np.ones((8, 4), np.float32), np.ones((8, 1), np.float32)
  x[5] = 1e30  # the loss overflows
  layer = keras.layers.Dense(1)
  net = keras.Sequential([keras.layers.Input((4,)), layer])
  loop = small.loop(
    net,
    make("Adam"),
    loss="mse",
    metrics=None,
    schedule=MOVING,
    bias_correction="exact",
  )
  with pytest.raises(trainloop.NonFiniteError):
    loop.fit(trainloop.ArrayData(x, y, batch_size=1, shuffle=False), 1)
  betas = kernels.tabulate(MOVING, 5)[1].astype(np.float64)
  assert product(loop) == np.prod(betas)
  assert loop.optimizer.iterations.numpy() == 5


def fit(workdir, *epochs):
  loop = small.loop(
    small.model(),
    make("AdamW"),
    schedule=kernels.OneCycle(0.01, 24, momentum=(0.95, 0.6)),
    bias_correction="exact",
    workdir=workdir,
    verbose=False,
  )
  for count in epochs:
    loop.fit(small.data(96, 8), count)
  return loop


def test_the_product_is_in_the_checkpoint(tmp_path):
  whole = fit(None, 1, 1)
  fit(tmp_path, 1)  # and this process ends
  again = fit(tmp_path, 1, 1)
  assert again.global_step == 24 and again.traces == 1
  assert product(again) == product(whole)
  assert small.state_of(again) == small.state_of(whole)


def test_updates_that_an_optimizer_brings_count_with_its_own_momentum():
  net = small.model()
  net.compile(make("Adam"), "sparse_categorical_crossentropy")
  net.fit(*small.arrays(24), batch_size=8, verbose=0)
  loop = small.loop(net, net.optimizer, bias_correction="exact")
  loop.fit(small.data(8, 8), 1)
  np.testing.assert_allclose(product(loop), 0.9**4, rtol=1e-6)


@pytest.mark.parametrize("kind", ["SGD", "Nadam", "RMSprop", "Lion", "Ftrl"])
def test_others_are_refused_by_name(kind):
  with pytest.raises(ValueError, match=f"`bias_correction` must.* for {kind}"):
    small.loop(optimizer=make(kind), bias_correction="exact")
  with pytest.raises(ValueError, match="must be one of keras, exact"):
    small.loop(optimizer=make(kind), bias_correction="torch")
