"""What the numbers of Keras' and PyTorch's callbacks are called here.

Keras' own callbacks run beside the judge; PyTorch's decisions are written out.
"""

import keras
import numpy as np
import pytest

import trainloop
from support import small
from trainloop.judging.judge import Judge

# Sixteenths, so that no sum rounds and ties are ties, in float32 as well.
VALUES = np.random.default_rng(0).integers(1, 64, (12, 24)) / 16.0


@pytest.fixture(scope="module")
def net():
  net = small.model()
  net.compile(keras.optimizers.SGD(1.0), "mse")
  return net


def of_keras(net, callback, values):
  """(epoch, from 1, that stops, or None; learning rates after each)."""
  callback.set_model(net)
  net.stop_training = False
  net.optimizer.learning_rate = 1.0
  callback.on_train_begin()
  rates = []
  for epoch, value in enumerate(values):
    callback.on_epoch_end(epoch, {"val_loss": float(value)})
    rates.append(float(net.optimizer.learning_rate.numpy()))
    if net.stop_training:
      return epoch + 1, rates
  return None, rates


def of_judge(judge, values):
  judge.begin(True, [0, 0], 0)
  scales = []
  for i, value in enumerate(values, 1):
    stop = judge.verdict({"val_loss": float(value)}, i, i)
    scales.append(float(judge.scale.numpy()))
    if stop:
      return i, scales
  return None, scales


@pytest.mark.parametrize(
  "options",
  [
    {"patience": 0},
    {"patience": 2},
    {"patience": 3, "min_delta": 0.25},
    {"patience": 2, "mode": "max", "min_delta": 0.125},
    {"patience": 3, "baseline": 0.5},
    {"patience": 2, "baseline": 3.5, "mode": "max", "min_delta": 0.125},
    {"patience": 2, "start_from_epoch": 4},
    {"patience": 0, "start_from_epoch": 2, "baseline": 1.0},
  ],
  ids=str,
)
def test_early_stopping_is_keras_own(net, options):
  judge = Judge([], trainloop.EarlyStopping(**options), None)
  callback = keras.callbacks.EarlyStopping(**options)
  for values in VALUES:
    stop, _ = of_keras(net, callback, values)
    found, _ = of_judge(judge, values)
    assert found == stop
    assert judge.best["epoch"] == callback.best_epoch + 1
    assert judge.best["value"] == callback.best


def test_a_first_nan_is_what_keras_never_betters(net):
  values = [float("nan"), 3.0, 2.0, 1.0, 0.5]
  callback = keras.callbacks.EarlyStopping(patience=3)
  assert of_keras(net, callback, values)[0] == 4
  judge = Judge([], trainloop.EarlyStopping(patience=3), None)
  assert of_judge(judge, values)[0] is None and judge.best["value"] == 0.5


@pytest.mark.parametrize("cooldown", [0, 1, 2, 3])
@pytest.mark.parametrize("patience", [1, 3])
def test_a_plateau_rests_one_validation_less_in_keras(net, cooldown, patience):
  common = {"patience": patience, "factor": 0.5, "min_delta": 0.0625}
  callback = keras.callbacks.ReduceLROnPlateau(
    cooldown=cooldown, min_lr=2.0**-6, **common
  )
  rests = max(0, cooldown - 1)
  plateau = trainloop.ReduceOnPlateau(
    cooldown=rests, min_scale=2.0**-6, **common
  )
  judge = Judge([], None, plateau)
  for values in VALUES:
    assert of_judge(judge, values)[1] == of_keras(net, callback, values)[1]


def of_torch(values, patience, threshold, relative, cooldown, factor=0.5):
  """torch.optim.lr_scheduler.ReduceLROnPlateau, written out; mode min."""
  best, bad, rests, rate, rates = float("inf"), 0, 0, 1.0, []
  for value in values:
    bound = best * (1 - threshold) if relative else best - threshold
    if value < bound:
      best, bad = value, 0
    else:
      bad += 1
    if rests > 0:
      rests, bad = rests - 1, 0
    if bad > patience:
      rate, rests, bad = rate * factor, cooldown, 0
    rates.append(rate)
  return rates


@pytest.mark.parametrize("cooldown", [0, 1, 3])
@pytest.mark.parametrize("relative", [True, False])
def test_torchs_patience_is_one_more_here(cooldown, relative):
  plateau = trainloop.ReduceOnPlateau(
    patience=2 + 1,
    min_delta=0.125,
    min_delta_mode="relative" if relative else "absolute",
    cooldown=cooldown,
    factor=0.5,
    min_scale=1e-9,
  )
  judge = Judge([], None, plateau)
  for values in VALUES:
    want = of_torch(values, 2, 0.125, relative, cooldown)
    assert of_judge(judge, values)[1] == want


def test_a_relative_gain_is_measured_by_the_size_of_the_best():
  options = {"patience": 1, "min_delta": 0.5, "min_delta_mode": "relative"}
  judge = Judge([], trainloop.EarlyStopping(**options), None)
  # A half better than -4 is -6, not -2 as torch's factor has it.
  assert of_judge(judge, [8, 3.5, -4, -5])[0] == 4
  assert judge.best["value"] == -4
  assert of_judge(judge, [8, 3.5, -4, -6.5, -6])[0] == 5
  assert of_judge(judge, [0, 0])[0] == 2
  worse = Judge([], trainloop.EarlyStopping(mode="max", **options), None)
  assert of_judge(worse, [-8, -3.5, 0, 4, 5])[0] == 5
  assert worse.best["value"] == 4


INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
  ("mode", "values", "best"),
  [
    ("min", [-INF, 5, 4], -INF),
    ("min", [3, -INF, -INF, 2], -INF),
    ("max", [INF, 5, 6], INF),
    ("max", [1, NAN, INF, 7, INF], INF),
    ("min", [INF, NAN, 5, 6, 7], 5),
    ("max", [-INF, NAN, -5, -6, -7], -5),
  ],
)
@pytest.mark.parametrize("relative", ["absolute", "relative"])
def test_nothing_beats_what_is_infinitely_good(mode, values, best, relative):
  options = {"mode": mode, "min_delta_mode": relative}
  judge = Judge(
    [],
    trainloop.EarlyStopping(patience=9, **options),
    trainloop.ReduceOnPlateau(patience=9, **options),
  )
  of_judge(judge, values)
  assert judge.best["value"] == best
  assert judge.best["epoch"] == values.index(best) + 1
  assert float(judge._plateau_watch.best.numpy()) == best
