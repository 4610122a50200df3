"""Scheduled rate and momentum in every Keras optimizer."""

import keras
import numpy as np
import pytest

import kernels
import trainloop
from support import regression, small

WITH_MOMENTUM = {
  "SGD": {"momentum": 0.9},
  "SGD nesterov": {"momentum": 0.9, "nesterov": True},
  "RMSprop": {"momentum": 0.9},
  "Adam": {},
  "AdamW": {},
  "Nadam": {},
  "Adamax": {},
  "Lion": {},
  "Lamb": {},
  "Muon": {"momentum": 0.9},
}
WITHOUT = ("Adagrad", "Adadelta", "Adafactor", "Ftrl")


def make(name, learning_rate=0.01, **options):
  kind = getattr(keras.optimizers, name.split()[0])
  return kind(learning_rate, **{**WITH_MOMENTUM.get(name, {}), **options})


def numpy_sgd(x, y, rates, momenta, nesterov):
  w, v = np.ones((4, 1)), np.zeros((4, 1))
  for t in range(len(x)):
    g = 2 * x[t : t + 1].T @ (x[t : t + 1] @ w - y[t : t + 1])
    v = momenta[t] * v - rates[t] * g
    w = w + (momenta[t] * v - rates[t] * g if nesterov else v)
  return w


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("start", [0.0, 0.9])
def test_sgd_equals_numpy_with_moving_values(nesterov, start):
  schedule = kernels.OneCycle(0.05, regression.STEPS)
  sgd = keras.optimizers.SGD(0.1, momentum=start, nesterov=nesterov)
  loop, x, y = regression.fitted(sgd, schedule)
  table = kernels.tabulate(schedule, regression.STEPS)
  rates, momenta = (column.astype(np.float64) for column in table)
  want = numpy_sgd(x, y, rates, momenta, nesterov)
  np.testing.assert_allclose(loop.model.get_weights()[0], want, rtol=2e-5)


def test_momentum_moves_adam_as_numpy_says():
  schedule = kernels.Triangular(0.01, 0.05, 6, momentum=(0.95, 0.7))
  loop, x, y = regression.fitted(keras.optimizers.Adam(), schedule)
  table = kernels.tabulate(schedule, regression.STEPS)
  rates, betas = (column.astype(np.float64) for column in table)
  w, m, v = np.ones((4, 1)), np.zeros((4, 1)), np.zeros((4, 1))
  for t in range(regression.STEPS):
    g = 2 * x[t : t + 1].T @ (x[t : t + 1] @ w - y[t : t + 1])
    m += (1 - betas[t]) * (g - m)
    v += (1 - 0.999) * (g * g - v)
    correct = np.sqrt(1 - 0.999 ** (t + 1)) / (1 - betas[t] ** (t + 1))
    w -= rates[t] * correct * m / (np.sqrt(v) + 1e-7)
  np.testing.assert_allclose(loop.model.get_weights()[0], w, rtol=1e-4)


@pytest.mark.parametrize("name", [*WITH_MOMENTUM, *WITHOUT])
def test_constants_equal_keras_own_optimizer(name):
  constant = 0.9 if name in WITH_MOMENTUM else None
  loop, x, y = regression.fitted(make(name), kernels.Constant(0.01, constant))
  layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
  net = keras.Sequential([keras.layers.Input((4,)), layer])
  net.compile(make(name), "mse")
  net.fit(x, y, batch_size=1, shuffle=False, verbose=0)
  np.testing.assert_allclose(
    loop.model.get_weights()[0], net.get_weights()[0], rtol=1e-5
  )


@pytest.mark.parametrize("name", WITH_MOMENTUM)
def test_a_scheduled_momentum_changes_the_weights(name):
  still = regression.fitted(make(name), kernels.Constant(0.01))[0]
  moved = regression.fitted(make(name), kernels.Constant(0.01, 0.5))[0]
  assert small.state_of(still) != small.state_of(moved)
  assert (moved.history.rows["momentum"] == np.float32(0.5)).all()
  assert (still.history.rows["momentum"] == np.float32(0.9)).all()


@pytest.mark.parametrize("compile", ["xla", "graph"])
def test_momentum_moves_muon_as_keras_own_update_says(compile):
  schedule = kernels.Triangular(0.01, 0.05, 6, momentum=(0.95, 0.7))
  loop, x, y = regression.fitted(make("Muon"), schedule, compile=compile)
  muon, w = make("Muon"), keras.Variable(np.ones((4, 1), "float32"))
  muon.build([w])
  table = kernels.tabulate(schedule, regression.STEPS)
  for t, (rate, momentum) in enumerate(zip(*table, strict=True)):
    muon.learning_rate, muon.momentum = float(rate), float(momentum)
    gradient = 2 * x[t : t + 1].T @ (x[t : t + 1] @ w.numpy() - y[t : t + 1])
    muon.apply([keras.ops.convert_to_tensor(gradient, "float32")], [w])
  np.testing.assert_allclose(loop.model.get_weights()[0], w, rtol=1e-4)


def test_the_momentum_of_an_own_optimizer_is_logged():
  class HeavyBall(keras.optimizers.Optimizer):
    momentum = 0.8

    def build(self, variables):
      if not self.built:
        super().build(variables)
        self.add_optimizer_variables(variables, "velocity")

    def update_step(self, gradient, variable, learning_rate):
      self.assign_sub(variable, learning_rate * gradient)

  loop, _, _ = regression.fitted(HeavyBall(0.01), kernels.Constant(0.01))
  assert (loop.history.rows["momentum"] == np.float32(0.8)).all()
  with pytest.raises(ValueError, match="with momentum"):
    regression.fitted(HeavyBall(0.01), kernels.OneCycle(0.01, regression.STEPS))


@pytest.mark.parametrize("name", WITHOUT)
def test_momentum_without_momentum_is_refused(name):
  with pytest.raises(
    ValueError, match=r"with momentum \(SGD, RMSprop, Muon, Adam"
  ):
    regression.fitted(make(name), kernels.OneCycle(0.01, regression.STEPS))


@pytest.mark.parametrize("name", WITHOUT)
def test_rows_say_nan_where_there_is_no_momentum(name):
  loop, _, _ = regression.fitted(make(name), kernels.Constant(0.01))
  assert np.isnan(loop.history.rows["momentum"]).all()


@pytest.mark.parametrize("kind", ["SGD", "RMSprop"])
def test_plain_optimizers_get_their_slots(kind):
  optimizer = getattr(keras.optimizers, kind)()
  loop, _, _ = regression.fitted(
    optimizer, kernels.OneCycle(0.01, regression.STEPS)
  )
  assert loop.history.rows["momentum"][0] == np.float32(0.95)
  assert any("momentum" in v.path for v in optimizer.variables)


def test_slots_can_not_be_added_later():
  loop, _, _ = regression.fitted(keras.optimizers.SGD(), kernels.Constant(0.01))
  data = trainloop.ArrayData(np.ones((8, 4)), np.ones((8, 1)), batch_size=1)
  with pytest.raises(ValueError, match="built with a momentum > 0"):
    loop.fit(data, 1, schedule=kernels.OneCycle(0.01, 8))


def test_a_keras_schedule_is_adopted():
  cosine = keras.optimizers.schedules.CosineDecay(0.05, regression.STEPS)
  loop, _, _ = regression.fitted(keras.optimizers.Adam(cosine), None)
  want = kernels.tabulate(
    kernels.Cosine(0.05, regression.STEPS), regression.STEPS
  )[0]
  assert loop.history.rows["learning_rate"].tobytes() == want.tobytes()
  # Its own schedule is back in its place.
  assert loop.optimizer._learning_rate is cosine


def test_a_schedule_beats_the_optimizers_own():
  decay = keras.optimizers.schedules.ExponentialDecay(0.05, 5, 0.5)
  loop, _, _ = regression.fitted(
    keras.optimizers.SGD(decay), kernels.Constant(0.02)
  )
  assert (loop.history.rows["learning_rate"] == np.float32(0.02)).all()


def test_no_schedule_keeps_the_optimizers_rate():
  loop, _, _ = regression.fitted(keras.optimizers.SGD(0.03), None)
  assert (loop.history.rows["learning_rate"] == np.float32(0.03)).all()
  assert (loop.history.rows["momentum"] == 0).all()


@pytest.mark.parametrize(
  "options",
  [
    {"weight_decay": 0.05},
    {"clipnorm": 0.1},
    {"clipvalue": 0.01},
    {"global_clipnorm": 0.1},
    {"use_ema": True, "ema_momentum": 0.9},
    {"loss_scale_factor": 8.0},
  ],
  ids=lambda options: next(iter(options)),
)
def test_what_the_optimizer_brings_counts(options):
  loop, x, y = regression.fitted(make("SGD", **options), kernels.Constant(0.01))
  layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
  net = keras.Sequential([keras.layers.Input((4,)), layer])
  net.compile(make("SGD", **options), "mse")
  net.fit(x, y, batch_size=1, shuffle=False, verbose=0)
  mine = loop.model.get_weights()[0]
  np.testing.assert_allclose(mine, net.get_weights()[0], rtol=1e-5)


def test_what_can_not_work_is_refused_by_name():
  adam = keras.optimizers.Adam(gradient_accumulation_steps=4)
  with pytest.raises(ValueError, match="_accumulation_steps` must be None"):
    small.loop(optimizer=adam)
  scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam())
  with pytest.raises(ValueError, match="got 'LossScaleOptimizer'"):
    small.loop(optimizer=scaled)
  with pytest.raises(ValueError, match="`optimizer` must be"):
    small.loop(optimizer=3)
  with pytest.raises(ValueError, match="`optimizer` must be one of"):
    small.loop(optimizer="sdg")


def test_keras_still_keeps_its_rate_where_it_is_read():
  """`_learning_rate` is private: this notices when it moves."""
  decay = keras.optimizers.schedules.CosineDecay(0.05, 10)
  assert keras.optimizers.SGD(decay)._learning_rate is decay
  assert isinstance(keras.optimizers.SGD()._learning_rate, keras.Variable)
