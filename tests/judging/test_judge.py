"""Early stopping, plateau and best weights, against cases done by hand."""

import keras
import numpy as np
import pytest

import kernels
import trainloop
from support import small
from trainloop.judging import directions
from trainloop.judging.judge import Judge


def stops_at(values, restore=False, weight=None, **options):
  """The validation (from 1) that stops, or None; and the judge."""
  weight = keras.Variable(0.0) if weight is None else weight
  stopping = trainloop.EarlyStopping(
    restore_best_weights=restore, **{"monitor": "val_loss", **options}
  )
  judge = Judge([weight], stopping, None)
  judge.prepare()
  for i, value in enumerate(values, 1):
    weight.assign(i)
    if judge.verdict({stopping.monitor: value}, i, i):
      return i, judge
  return None, judge


NAN = float("nan")


@pytest.mark.parametrize(
  ("values", "options", "stop", "best"),
  [
    ([5, 4, 4.5, 4.2, 3], {"patience": 2}, 4, 2),
    ([5, 4, 4.5, 3, 4, 4], {"patience": 2}, 6, 4),
    ([5, 4, 3], {"patience": 1}, None, 3),
    ([5, 5], {"patience": 0}, 2, 1),
    ([5, 5], {"patience": 1}, 2, 1),
    ([5, 4.95, 4.9, 4.8], {"patience": 3, "min_delta": 0.1}, None, 4),
    ([5, 4.95, 4.9, 4.9], {"patience": 3, "min_delta": 0.1}, 4, 1),
    ([NAN, 5, NAN, 4], {"patience": 2}, None, 4),
    ([NAN, NAN, 5], {"patience": 2}, 2, -1),
    ([1, 2, 3, 3], {"patience": 1, "monitor": "val_accuracy"}, 4, 3),
    ([1, 2, 1], {"patience": 1, "mode": "max"}, 3, 2),
    ([float("inf"), 5, 6], {"patience": 1}, 1, -1),
  ],
)
def test_stops_where_the_hand_says(values, options, stop, best):
  found, judge = stops_at(values, **options)
  assert found == stop
  assert judge.best.get("epoch", -1) == best


def test_best_weights_are_those_of_the_best_validation():
  weight = keras.Variable(0.0)
  _, judge = stops_at([5, 3, 4, 4], restore=True, weight=weight, patience=2)
  assert judge.restore_best() == 3  # updates done: it was told of index 2
  assert float(weight.numpy()) == 2.0


def test_the_run_ends_with_the_best_weights():
  seen = {}
  loop = small.loop(
    schedule=kernels.Constant(1.5),
    early_stopping=trainloop.EarlyStopping("val_loss", patience=2),
    compile="graph",
  )
  judge_ = trainloop.judging.judge.Judge.verdict

  def spy(self, values, step, epoch, **flags):
    seen[epoch] = small.digest(loop.model.weights)
    return judge_(self, values, step, epoch, **flags)

  trainloop.judging.judge.Judge.verdict = spy
  try:
    history = loop.fit(small.data(), 40, validation=small.data(32, 16, seed=1))
  finally:
    trainloop.judging.judge.Judge.verdict = judge_
  values = history.epochs["val_loss"]
  best = int(np.argmin(values)) + 1
  assert history.stop_reason == "early_stopping"
  assert len(values) == best + 2
  assert small.digest(loop.model.weights) == seen[best]
  assert loop.best == {
    "monitor": "val_loss",
    "value": values[best - 1],
    "step": best * 12 - 1,
    "epoch": best,
  }


def test_plateau_scales_every_later_rate():
  loop = small.loop(
    keras.Sequential(
      [
        keras.layers.Input((8,)),
        keras.layers.Dense(3, activation="softmax", trainable=True),
      ]
    ),
    keras.optimizers.SGD(0.1),
    schedule=kernels.Constant(1e-12),
    reduce_on_plateau=trainloop.ReduceOnPlateau(
      "val_accuracy", patience=2, factor=0.5, cooldown=1, min_scale=0.2
    ),
    compile="graph",
  )
  rows = loop.fit(small.data(), 11, validation=small.data(32, 16)).rows
  scales = rows["learning_rate"][::12] / np.float32(1e-12)
  # Validation 1 is best; 2 and 3 are not: cut. 4 rests; 5 and 6: cut ...
  want = [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.2, 0.2]
  np.testing.assert_allclose(scales, want, rtol=1e-6)


@pytest.mark.parametrize(
  ("monitor", "sign"),
  [
    ("val_loss", -1),
    ("loss", -1),
    ("val_accuracy", 1),
    ("val_auc", 1),
    ("val_sparse_categorical_accuracy", 1),
    ("val_mean_absolute_error", -1),
    ("val_binary_crossentropy", -1),
    ("val_precision_1", 1),
  ],
)
def test_auto_knows_the_direction(monitor, sign):
  assert directions.direction(monitor, "auto") == sign


def test_auto_asks_where_it_does_not_know():
  for name in ("val_score", "val_custom", "val_accuracy_error"):
    with pytest.raises(ValueError, match="`mode` must be 'min' or 'max'"):
      Judge([], trainloop.EarlyStopping(name), None)
    assert Judge([], trainloop.EarlyStopping(name, mode="max"), None).monitors


@pytest.mark.parametrize(
  ("kind", "options", "name"),
  [
    (trainloop.EarlyStopping, {"patience": -1}, "patience"),
    (trainloop.EarlyStopping, {"patience": 1.5}, "patience"),
    (trainloop.EarlyStopping, {"min_delta": -0.1}, "min_delta"),
    (trainloop.EarlyStopping, {"mode": "up"}, "mode"),
    (trainloop.EarlyStopping, {"baseline": "0.5"}, "baseline"),
    (trainloop.EarlyStopping, {"baseline": float("inf")}, "baseline"),
    (trainloop.EarlyStopping, {"start_from_epoch": -1}, "start_from_epoch"),
    (trainloop.EarlyStopping, {"start_from_epoch": 1.5}, "start_from_epoch"),
    (trainloop.EarlyStopping, {"min_delta_mode": "rel"}, "min_delta_mode"),
    (
      trainloop.ReduceOnPlateau,
      {"min_delta": 1.0, "min_delta_mode": "relative"},
      "min_delta",
    ),
    (trainloop.EarlyStopping, {"unit": "hour"}, "unit"),
    (trainloop.EarlyStopping, {"monitor": ""}, "monitor"),
    (trainloop.ReduceOnPlateau, {"patience": 0}, "patience"),
    (trainloop.ReduceOnPlateau, {"factor": 1.0}, "factor"),
    (trainloop.ReduceOnPlateau, {"factor": 0}, "factor"),
    (trainloop.ReduceOnPlateau, {"cooldown": -1}, "cooldown"),
    (trainloop.ReduceOnPlateau, {"min_scale": 0}, "min_scale"),
    (trainloop.ReduceOnPlateau, {"min_scale": 1.1}, "min_scale"),
  ],
)
def test_bad_options(kind, options, name):
  with pytest.raises(ValueError, match=f"`{name}` must be"):
    kind(**options)
