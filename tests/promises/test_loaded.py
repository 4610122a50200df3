"""A model that was trained before: its optimizer goes on where it stopped."""

import keras
import numpy as np
import pytest

import kernels
import trainloop
from support import small

SCHEDULES = keras.optimizers.schedules
X, _ = small.arrays(80)
Y = X.sum(1, keepdims=True)
RATES = {
  "decay": (keras.optimizers.SGD, lambda: SCHEDULES.CosineDecay(0.1, 40)),
  "pieces": (
    keras.optimizers.Adam,
    lambda: SCHEDULES.PiecewiseConstantDecay([22, 25], [0.1, 0.01, 0.001]),
  ),
  "restarts": (
    keras.optimizers.RMSprop,
    lambda: SCHEDULES.CosineDecayRestarts(0.01, 12),
  ),
  "constant": (keras.optimizers.Adam, lambda: 0.05),
}


@pytest.fixture
def trained(tmp_path):
  """A function: (optimizer, rate) -> a model after 20 updates, loaded."""

  def load(kind, rate):
    net = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    net.compile(kind(rate()), "mse")
    net.fit(X, Y, batch_size=8, epochs=2, verbose=0)
    net.save(tmp_path / "net.keras")
    return keras.models.load_model(tmp_path / "net.keras")

  return load


def loop(net, **options):
  return trainloop.TrainLoop(net, net.optimizer, "mse", **options)


def data():
  return trainloop.ArrayData(X, Y, batch_size=8, shuffle=False)


@pytest.mark.parametrize("name", RATES)
def test_it_goes_on_as_keras_does(trained, name):
  net = trained(*RATES[name])
  keras_net = keras.models.clone_model(net)
  keras_net.set_weights(net.get_weights())
  optimizer = type(net.optimizer).from_config(net.optimizer.get_config())
  optimizer.build(keras_net.trainable_variables)
  for mine, other in zip(
    optimizer.variables, net.optimizer.variables, strict=True
  ):
    mine.assign(other)
  keras_net.compile(optimizer, "mse")
  rates = [float(RATES[name][1]())] * 10 if name == "constant" else None
  if rates is None:
    rates = [float(RATES[name][1]()(step)) for step in range(20, 30)]
  history = loop(net, verbose=0).fit(data(), 1)
  keras_net.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
  np.testing.assert_allclose(history.rows["learning_rate"], rates, rtol=1e-5)
  assert int(net.optimizer.iterations) == 30
  for mine, other in zip(
    net.get_weights(), keras_net.get_weights(), strict=True
  ):
    np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)


def test_what_was_given_begins_at_its_step_0_and_says_so(trained, capsys):
  net = trained(*RATES["decay"])
  made = loop(net, schedule=kernels.Linear(0.01, 0.0, 20))
  history = made.fit(data(), 1)
  assert history.rows["learning_rate"][0] == np.float32(0.01)
  said = capsys.readouterr().out
  assert "from its step 0: the optimizer has made 20 updates" in said
  again = loop(net)
  assert again.fit(data(), 1).rows["learning_rate"][0] < 0.03
  assert (
    "from its step 30: the optimizer has made 30" in capsys.readouterr().out
  )


def test_a_cut_run_goes_on_there_too(trained, tmp_path):
  whole = loop(trained(*RATES["decay"]), verbose=0)
  want = whole.fit(data(), 2).rows["learning_rate"]
  cut = loop(trained(*RATES["decay"]), verbose=0, workdir=tmp_path / "run")
  cut.stop()
  assert cut.fit(data(), 2).stop_reason == "preempted"
  rest = loop(trained(*RATES["decay"]), verbose=0, workdir=tmp_path / "run")
  found = rest.fit(data(), 2).rows["learning_rate"]
  assert found.tobytes() == want.tobytes()
