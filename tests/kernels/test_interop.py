"""Keras' schedules as kernels, kernels in Keras, functions of the epoch."""

import json
import math

import keras
import numpy as np
import pytest

import kernels
import trainloop

K = keras.optimizers.schedules
STEPS = 90


def _id(schedule):
  """Its class and its arguments, the same in every process."""
  values = {**schedule.get_config(), "name": type(schedule).__name__}
  return "-".join(f"{k}={v}" if k != "name" else v for k, v in values.items())


@pytest.mark.parametrize(
  "schedule",
  [
    K.CosineDecay(0.3, 40, alpha=0.1),
    K.CosineDecay(0.01, 40, 0.1, warmup_target=0.3, warmup_steps=10),
    K.CosineDecayRestarts(0.3, 10, t_mul=2.0, m_mul=0.9),
    K.CosineDecayRestarts(0.3, 10, t_mul=1.0, alpha=0.1),
    K.ExponentialDecay(0.3, 10, 0.5),
    K.ExponentialDecay(0.3, 10, 0.5, staircase=True),
    K.InverseTimeDecay(0.3, 10, 0.5),
    K.InverseTimeDecay(0.3, 10, 0.5, staircase=True),
    K.PiecewiseConstantDecay([10, 20], [0.3, 0.2, 0.1]),
    K.PolynomialDecay(0.3, 40, 0.01, 2.0),
    K.PolynomialDecay(0.3, 40, 0.01, 2.0, cycle=True),
  ],
  ids=_id,
)
def test_a_kernel_with_the_same_values(schedule):
  kernel = kernels.from_keras(schedule)
  assert not isinstance(kernel, kernels.interop.KerasSchedule)
  rates = kernels.tabulate(kernel, STEPS)[0]
  want = [float(schedule(t)) for t in range(STEPS)]
  np.testing.assert_allclose(rates, want, rtol=2e-5, atol=1e-7)


def test_right_where_keras_is_wrong():
  schedule = K.CosineDecayRestarts(0.1, 10, t_mul=2.0)
  step = 81910  # the 13th restart
  assert float(schedule(step)) < 1e-6
  rate = kernels.from_keras(schedule)(step).learning_rate
  assert float(rate) == np.float32(0.1)


@keras.saving.register_keras_serializable(package="test")
class Halves(K.LearningRateSchedule):
  def __init__(self, rate):
    self.rate = rate

  def __call__(self, step):
    return self.rate / 2.0 ** keras.ops.cast(step, "float32")

  def get_config(self):
    return {"rate": self.rate}


class Own(K.LearningRateSchedule):
  def __call__(self, step):
    return 0.1 / (1.0 + keras.ops.cast(step, "float32"))


@pytest.mark.parametrize(
  "schedule",
  [Own(), K.CosineDecayRestarts(0.3, 10, t_mul=1.5, alpha=0.1)],
  ids=["own", "odd restarts"],
)
def test_anything_else_is_evaluated_by_keras(schedule):
  kernel = kernels.from_keras(schedule)
  rates = kernels.tabulate(kernel, 6)[0]
  want = [float(schedule(t)) for t in range(6)]
  np.testing.assert_allclose(rates, want, rtol=1e-5)
  assert kernel(3).learning_rate.shape == ()
  with pytest.raises(ValueError, match="`keras_schedule` must be"):
    kernels.interop.KerasSchedule(0.1)


def test_a_momentum_joins_a_translated_kernel():
  cosine = K.CosineDecay(0.3, 40)
  kernel = kernels.from_keras(cosine, momentum=0.7)
  rates, momenta = kernels.tabulate(kernel, STEPS)
  want = kernels.tabulate(kernels.Cosine(0.3, 40), STEPS)[0]
  np.testing.assert_array_equal(rates, want)
  assert (momenta == np.float32(0.7)).all()


@pytest.mark.parametrize("schedule", [Halves(0.5), K.CosineDecay(0.3, 40)])
def test_keras_schedules_round_trip(schedule):
  kernel = kernels.interop.KerasSchedule(schedule, 0.9)
  config = json.loads(json.dumps(kernel.to_config()))
  again = kernels.from_config(config)
  assert again == kernel and hash(again) == hash(kernel)
  assert eval(repr(kernel), vars(kernels.interop)) == kernel
  assert kernel != kernels.interop.KerasSchedule(schedule, 0.8)
  np.testing.assert_array_equal(again(3).learning_rate, kernel(3).learning_rate)


def test_without_get_config_it_can_be_told_apart_but_not_rebuilt():
  kernel = kernels.from_keras(Own())
  assert kernel.to_config()["keras_schedule"].endswith("Own")
  with pytest.raises(ValueError, match="`keras_schedule` must be"):
    kernels.from_config(kernel.to_config())


def tiny_net():
  layer = keras.layers.Dense(1, kernel_initializer="ones")
  return keras.Sequential([keras.layers.Input((2,)), layer])


class Rates(keras.callbacks.Callback):
  """What Keras' optimizer used at each update."""

  def __init__(self):
    super().__init__()
    self.found = []

  def on_train_batch_begin(self, batch, logs=None):
    self.found.append(np.float32(self.model.optimizer.learning_rate))


def test_as_keras_in_compile_and_fit_gives_the_loops_sequence():
  schedule = kernels.Warmup(kernels.CosineRestarts(0.1, 4, 1.5), 3)
  rng = np.random.default_rng(0)
  x, y = rng.normal(size=(20, 2)), rng.normal(size=(20, 1))
  net, rates = tiny_net(), Rates()
  net.compile(keras.optimizers.SGD(kernels.as_keras(schedule)), "mse")
  net.fit(x, y, 2, 2, verbose=0, shuffle=False, callbacks=[rates])
  loop = trainloop.TrainLoop(
    tiny_net(), keras.optimizers.SGD(), "mse", schedule=schedule, verbose=False
  )
  data = trainloop.ArrayData(
    x.astype("float32"), y.astype("float32"), batch_size=2, shuffle=False
  )
  history = loop.fit(data, 2)
  np.testing.assert_array_equal(rates.found, history.rows["learning_rate"])
  for mine, other in zip(
    loop.model.get_weights(), net.get_weights(), strict=True
  ):
    np.testing.assert_allclose(mine, other, rtol=1e-5)


def test_as_keras_is_saved_and_loaded_with_its_model(tmp_path):
  schedule = kernels.OneCycle(0.1, 10)
  net = tiny_net()
  net.compile(keras.optimizers.Adam(kernels.as_keras(schedule)), "mse")
  net.optimizer.build(net.trainable_variables)
  net.save(tmp_path / "net.keras")
  again = keras.models.load_model(tmp_path / "net.keras").optimizer
  assert again._learning_rate.schedule == schedule
  assert kernels.from_keras(kernels.as_keras(schedule)) == schedule
  with pytest.raises(ValueError, match="`schedule` must be a kernels"):
    kernels.as_keras(0.1)


def test_from_function_asks_once_an_epoch():
  asked = []

  def halve(epoch):
    asked.append(epoch)
    return 0.1 / 2 ** (epoch // 2)

  schedule = kernels.from_function(halve, 6, 10)
  assert asked == list(range(6))
  rates = kernels.tabulate(schedule, 70)[0]
  want = [np.float32(0.1 / 2 ** (min(t // 10, 5) // 2)) for t in range(70)]
  np.testing.assert_array_equal(rates, want)
  assert kernels.from_config(schedule.to_config()) == schedule
  assert kernels.from_function(lambda epoch: 0.1, 3, 5) == kernels.Constant(0.1)


def test_from_function_equals_keras_learning_rate_scheduler():
  def fall(epoch, lr):
    return lr if epoch < 2 else lr * math.exp(-0.1)

  net, rates = tiny_net(), Rates()
  net.compile(keras.optimizers.SGD(0.1), "mse")
  scheduler = keras.callbacks.LearningRateScheduler(fall)
  x = np.ones((6, 2), "float32")
  callbacks = [scheduler, rates]
  net.fit(x, x[:, :1], 2, 5, verbose=0, callbacks=callbacks)
  schedule = kernels.from_function(fall, 5, 3, initial_lr=0.1)
  found = kernels.tabulate(schedule, 15)[0]
  np.testing.assert_array_equal(found, rates.found)


def test_from_function_refuses():
  with pytest.raises(ValueError, match=r"`fn\(2\)` must be a finite .* -0\.1"):
    kernels.from_function(lambda epoch: 0.1 if epoch < 2 else -0.1, 4, 1)
  with pytest.raises(ValueError, match="`initial_lr` must be given"):
    kernels.from_function(lambda epoch, lr: lr, 4, 1)
  with pytest.raises(ValueError, match="`fn` must be a function"):
    kernels.from_function(0.1, 4, 1)


@pytest.mark.parametrize(
  "schedule",
  [
    K.ExponentialDecay(0.3, 1e3, 0.5),
    K.CosineDecay(0.3, 1e3),
    K.PiecewiseConstantDecay([10.0, 20.0], [0.3, 0.2, 0.1]),
    K.InverseTimeDecay(0.3, 10, 0),
    K.PolynomialDecay(0.3, 10.5, 0.01),
  ],
  ids=lambda s: type(s).__name__,
)
def test_steps_that_keras_takes_as_floats(schedule):
  rates = kernels.tabulate(kernels.from_keras(schedule), 30)[0]
  want = [float(schedule(t)) for t in range(30)]
  np.testing.assert_allclose(rates, want, rtol=2e-5)


def test_a_negative_rate_is_refused():
  with pytest.raises(ValueError, match="must be a finite number >= 0"):
    kernels.from_keras(K.CosineDecay(-0.1, 10))
