"""class_weight and weighted_metrics: Keras `fit`'s own numbers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import trainloop
from support import small
from trainloop.data import class_weights

WEIGHTS = {0: 2.0, 2: 0.5}


def model(kind):
  net = small.model()
  if kind == "one-hot":
    return net, "categorical_crossentropy", "categorical_accuracy"
  return net, "sparse_categorical_crossentropy", "sparse_categorical_accuracy"


def weighted(kind):
  if kind == "one-hot":
    return keras.metrics.CategoricalAccuracy(name="w")
  return keras.metrics.SparseCategoricalAccuracy(name="w")


def arrays(kind):
  x, y = small.arrays()
  return x, {
    "labels": y,
    "column": y[:, None],
    "one-hot": np.eye(3, dtype="float32")[y],
  }[kind]


def by_keras(kind, class_weight, split=0.0):
  net, loss, metric = model(kind)
  net.compile(
    keras.optimizers.SGD(0.1),
    loss,
    metrics=[metric],
    weighted_metrics=[weighted(kind)],
  )
  x, y = arrays(kind)
  options = {"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0}
  options |= {"class_weight": class_weight, "validation_split": split}
  return net, net.fit(x, y, **options).history


def by_loop(kind, data, class_weight, validation=None, **options):
  net, loss, metric = model(kind)
  loop = trainloop.TrainLoop(
    net,
    keras.optimizers.SGD(0.1),
    loss,
    metrics=[metric],
    weighted_metrics=[weighted(kind)],
    verbose=False,
    **options,
  )
  history = loop.fit(data, 2, validation=validation, class_weight=class_weight)
  return loop, history


def same(loop, history, net, want):
  for one, other in zip(
    loop.model.get_weights(), net.get_weights(), strict=True
  ):
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
  for name, values in want.items():
    np.testing.assert_allclose(history.epochs[name], values, 1e-5, err_msg=name)


@pytest.mark.parametrize("kind", ["labels", "column", "one-hot"])
def test_arrays_give_the_numbers_of_fit(kind):
  net, want = by_keras(kind, WEIGHTS, 0.25)
  x, y = arrays(kind)
  data = trainloop.ArrayData(x, y, batch_size=8, shuffle=False)
  train, valid = data.split(0.25)
  same(*by_loop(kind, train, WEIGHTS, valid), net, want)


@pytest.mark.parametrize("kind", ["labels", "column", "one-hot"])
def test_a_dataset_gives_the_numbers_of_fit(kind):
  net, want = by_keras(kind, WEIGHTS)
  dataset = tf.data.Dataset.from_tensor_slices(arrays(kind)).batch(8)
  same(*by_loop(kind, dataset, WEIGHTS, compile="graph"), net, want)


def test_balanced_is_what_scikit_learn_says():
  utils = pytest.importorskip("sklearn.utils")
  y = np.repeat([0, 1, 4], [50, 30, 16])
  want = utils.class_weight.compute_class_weight(
    "balanced", classes=np.unique(y), y=y
  )
  found = class_weights.balanced_weights(y)
  assert found == dict(zip([0, 1, 4], want, strict=True))
  x, _ = small.arrays()
  data = trainloop.ArrayData(x, y, batch_size=8)
  weighed = class_weights.applied(data, "balanced").arrays[2]
  np.testing.assert_array_equal(weighed, [np.float32(found[c]) for c in y])
  assert weighed.sum() == pytest.approx(len(y))


def test_a_second_fit_has_the_data_and_the_program_of_the_first():
  data = small.data()
  assert class_weights.applied(data, WEIGHTS) is class_weights.applied(
    data, dict(WEIGHTS)
  )
  other = class_weights.applied(data, {0: 3.0})
  assert other is not class_weights.applied(data, WEIGHTS)
  assert class_weights.applied(data, None) is data
  loop = small.loop()
  for weights in (WEIGHTS, {0: 3.0}, "balanced"):
    loop.fit(data, 1, class_weight=weights)
  assert loop.traces == 1


def test_a_run_with_other_weights_is_refused(tmp_path):
  small.loop(workdir=tmp_path).fit(small.data(), 1, class_weight={0: 2.0})
  with pytest.raises(ValueError, match="data_crc32"):
    small.loop(workdir=tmp_path).fit(small.data(), 1, class_weight={0: 3.0})


def test_weighted_metrics_belong_to_the_run(tmp_path):
  def run(**options):
    loop = small.loop(workdir=tmp_path, **options)
    return loop.fit(small.data(), 1)

  run(weighted_metrics=["accuracy"])
  with pytest.raises(ValueError, match="weighted_metrics"):
    run()


X, Y = small.arrays()
REFUSED = [
  (small.data(), "auto", "`class_weight` must be a dict {label"),
  (small.data(), {}, "`class_weight` must be a dict {label"),
  (small.data(), {"a": 1.0}, "`class_weight` must be an integer >= 0"),
  (small.data(), {-1: 1.0}, "`class_weight` must be an integer"),
  (small.data(), {7: 1.0}, "weights of labels that examples have, as 0, 1, 2"),
  (small.data(), {0: 0, 1: 0, 2: 0.0}, "above 0 for some label"),
  (small.data(), {0: -1.0}, "`class_weight[0]` must be a number >= 0"),
  (small.data(), {0: float("nan")}, "`class_weight[0]` must be a number"),
  (
    trainloop.ArrayData(X, Y, np.ones(96), batch_size=8),
    WEIGHTS,
    "None with sample weights",
  ),
  (
    trainloop.ArrayData(X, Y + 0.5, batch_size=8),
    WEIGHTS,
    "whole numbers >= 0, or one-hot rows; got 'target",
  ),
  (
    tf.data.Dataset.from_tensor_slices((X, Y)).batch(8),
    "balanced",
    "a dict with a tf.data.Dataset",
  ),
  (
    trainloop.ShardedData(
      lambda context: tf.data.Dataset.from_tensor_slices((X, Y)).batch(8), 3
    ),
    WEIGHTS,
    "None with this data",
  ),
]


@pytest.mark.parametrize("data,weights,text", REFUSED)
def test_what_has_no_meaning_is_refused(data, weights, text, tmp_path):
  loop = small.loop(workdir=tmp_path / "run")
  with pytest.raises(ValueError) as error:
    loop.fit(data, 1, class_weight=weights)
  assert text in str(error.value) and "\n" not in str(error.value)
  assert not (tmp_path / "run").exists()
