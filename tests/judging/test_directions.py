"""Whether less or more is better: asked of the metric, then of its name."""

import keras
import numpy as np
import pytest

import trainloop
from support import small
from trainloop.judging import directions

M = keras.metrics
UP = [
  M.Accuracy,
  M.BinaryAccuracy,
  M.CategoricalAccuracy,
  M.SparseCategoricalAccuracy,
  M.TopKCategoricalAccuracy,
  M.SparseTopKCategoricalAccuracy,
  M.AUC,
  M.Precision,
  M.Recall,
  M.F1Score,
  M.FBetaScore,
  M.BinaryIoU,
  M.R2Score,
  M.CosineSimilarity,
  M.PearsonCorrelation,
  M.ConcordanceCorrelation,
  M.TruePositives,
  M.TrueNegatives,
  lambda name: M.MeanIoU(3, name=name),
  lambda name: M.IoU(3, [0], name=name),
  lambda name: M.PrecisionAtRecall(0.5, name=name),
  lambda name: M.RecallAtPrecision(0.5, name=name),
  lambda name: M.SensitivityAtSpecificity(0.5, name=name),
  lambda name: M.SpecificityAtSensitivity(0.5, name=name),
]
DOWN = [
  M.MeanSquaredError,
  M.RootMeanSquaredError,
  M.MeanAbsoluteError,
  M.MeanAbsolutePercentageError,
  M.MeanSquaredLogarithmicError,
  M.LogCoshError,
  M.Hinge,
  M.SquaredHinge,
  M.CategoricalHinge,
  M.KLDivergence,
  M.Poisson,
  M.BinaryCrossentropy,
  M.CategoricalCrossentropy,
  M.SparseCategoricalCrossentropy,
  M.FalsePositives,
  M.FalseNegatives,
  lambda name: M.MeanMetricWrapper(keras.losses.huber, name=name),
]


@pytest.mark.parametrize(
  ("kind", "sign"), [(k, 1) for k in UP] + [(k, -1) for k in DOWN]
)
def test_a_metric_says_it_whatever_it_is_called(kind, sign):
  """`_direction` is private: this notices when it moves."""
  names = ["mine", "out_mine", "mine_1", "out_mine_2", "mine_0"]
  found = directions.of_metrics(names, [kind(name="mine")])
  assert found == dict.fromkeys(names, sign)
  for monitor in ("val_mine", "val_out_mine"):
    assert directions.direction(monitor, "auto", found) == sign


def test_the_metric_that_is_meant_says_it():
  metrics = [M.AUC(name="roc"), M.MeanSquaredError(name="my_roc")]
  names = ["roc", "my_roc", "a_my_roc", "a_roc"]
  found = directions.of_metrics(names, metrics)
  assert found == {"roc": 1, "my_roc": -1, "a_my_roc": -1, "a_roc": 1}
  # Two of one name that differ: then the name says it, or nobody.
  metrics = [M.AUC(name="one"), M.MeanSquaredError(name="one")]
  assert directions.of_metrics(["one"], metrics) == {}
  # A metric that does not say it is not mixed up with one that ends alike.
  metrics = [M.Mean(name="bad_auc"), M.AUC(name="auc")]
  assert directions.of_metrics(["bad_auc", "auc"], metrics) == {"auc": 1}


@pytest.mark.parametrize(
  ("monitor", "sign"),
  [
    ("loss", -1),
    ("val_accuracy_loss", -1),  # of an output that is called so
    ("val_reconstruction_loss", -1),
    ("val_rmse", -1),
    ("val_dice", 1),
    ("val_r2", 1),
  ],
)
def test_a_name_says_it_where_no_metric_does(monitor, sign):
  assert directions.direction(monitor, "auto") == sign


def test_in_a_loop_metrics_by_names_of_the_users_and_of_outputs():
  x, y = small.arrays(64)
  targets = {"accuracy": np.eye(3, dtype="float32")[y], "b": x[:, :1]}
  inputs = keras.Input((8,))
  outputs = {
    "accuracy": keras.layers.Dense(3, "softmax", name="accuracy")(inputs),
    "b": keras.layers.Dense(1, name="b")(inputs),
  }

  def make(monitor):
    return trainloop.TrainLoop(
      lambda: keras.Model(inputs, outputs),
      keras.optimizers.SGD(0.05),
      {"accuracy": "categorical_crossentropy", "b": "mse"},
      metrics={
        "accuracy": [M.AUC(name="roc"), M.F1Score(name="score")],
        "b": [M.MeanAbsoluteError(name="gap")],
      },
      early_stopping=trainloop.EarlyStopping(monitor, patience=9),
      compile="graph",
      verbose=0,
    )

  data = trainloop.ArrayData(x, targets, batch_size=16)
  signs = {
    "val_accuracy_roc": 1,
    "val_accuracy_score_2": 1,
    "b_gap": -1,
    "val_accuracy_loss": -1,
    "val_b_loss": -1,
  }
  for monitor, sign in signs.items():
    loop = make(monitor)
    loop.programs.build(data)
    assert loop.trainee.state.judge._stop_watch.sign == sign, monitor


def score(y, found):
  return found[:, 0]


def test_what_nobody_says_is_asked_for_in_one_line(tmp_path):
  loop = small.loop(
    metrics=[score],
    early_stopping=trainloop.EarlyStopping("val_score"),
    workdir=tmp_path / "run",
    compile="graph",
  )
  with pytest.raises(ValueError, match="`mode` must be 'min' or 'max'") as told:
    loop.fit(small.data(), 1, validation=small.data(16, 16))
  assert "\n" not in str(told.value) and not (tmp_path / "run").exists()
