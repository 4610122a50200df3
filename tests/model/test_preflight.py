"""Bad input: one line before step 1, and nothing written."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernels
import trainloop
from support import small

X, Y = small.arrays(32)


def array_data(x=X, y=Y, batch_size=8, **options):
  return trainloop.ArrayData(x, y, batch_size=batch_size, **options)


BAD_ARRAYS = [
  ("empty", lambda: array_data(X[:0], Y[:0]), "`x` must be of at least one"),
  ("lengths", lambda: array_data(X, Y[:-1]), "`y` must be of 32 examples"),
  ("nan in x", lambda: array_data(X * np.nan), r"`x` must be finite .*\(0, 0"),
  ("inf in y", lambda: array_data(y=X / 0.0), "`y` must be finite"),
  ("text", lambda: array_data(y=["a"] * 32), "`y` must be an array of numbers"),
  ("object", lambda: array_data(np.array([[1], [1, 2]] * 16, object)), "`x`"),
  (
    "a column of text",
    lambda: array_data(np.array([[1, "a"]] * 32, object)),
    r"`x` must be an array of numbers \(first str at index \(0, 1\)\); got 'a'",
  ),
  (
    "nothing among objects",
    lambda: array_data(y=np.array([0, 1, None, 2] * 8, object)),
    r"`y` must be .*first NoneType at index \(2,\)",
  ),
  (
    "masked x",
    lambda: array_data(np.ma.masked_less(X, -1)),
    "`x` must be without a mask, which would be dropped",
  ),
  (
    "masked y",
    lambda: array_data(y=np.ma.masked_equal(Y, 0)),
    "`y` must be without a mask",
  ),
  (
    "one masked input of two",
    lambda: array_data([X, np.ma.masked_less(X, -1)]),
    r"`x\[1\]` must be without a mask",
  ),
  (
    "weights of 0",
    lambda: trainloop.ArrayData(X, Y, np.zeros(32), batch_size=8),
    "`sample_weight` must be above 0 for some example",
  ),
  ("ragged", lambda: array_data([[1], [1, 2]] * 16), "`x` must be an array"),
  ("scalar", lambda: array_data(3.0), "`x` must be of shape"),
  ("no x", lambda: array_data(None), "`x` must be at least one array"),
  ("dict", lambda: array_data({"a": X, "b": X[:3]}), "`x` must be of 32"),
  (
    "weights",
    lambda: trainloop.ArrayData(X, Y, np.ones(3), batch_size=8),
    "`sample_weight` must be of 32",
  ),
  (
    "weights (n, 5)",
    lambda: trainloop.ArrayData(X, Y, np.ones((32, 5)), batch_size=8),
    "`sample_weight` must be of shape",
  ),
  (
    "too large",
    lambda: array_data(X.astype(float) + 1e300),
    "`x` must be finite in float32",
  ),
  ("batch 0", lambda: array_data(batch_size=0), "`batch_size` must be an int"),
  ("batch 1.5", lambda: array_data(batch_size=1.5), "`batch_size` must be"),
  ("seed", lambda: array_data(seed=-1), "`seed` must be an integer >= 0"),
]


@pytest.mark.parametrize(
  ("make", "match"),
  [case[1:] for case in BAD_ARRAYS],
  ids=[case[0] for case in BAD_ARRAYS],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_bad_arrays(make, match):
  with pytest.raises(ValueError, match=match) as caught:
    make()
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
  ("given", "dtype"),
  [
    (np.array([[1, 2.5, True]] * 4, object), np.float32),
    (np.array([[1, np.bool_(True)]] * 4, object), np.int64),
    (np.ma.masked_array(np.eye(4, dtype="float32")), np.float32),
  ],
)
def test_numbers_as_objects_and_a_mask_of_nothing_are_taken(given, dtype):
  (taken, *_) = trainloop.ArrayData(given, batch_size=2).arrays
  assert taken.dtype == dtype and type(taken) is np.ndarray
  np.testing.assert_array_equal(taken, given.astype(dtype))


def one_output():
  return keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(1)])


def fit(tmp_path, net=None, data=None, validation=None, epochs=2, **options):
  options = {"workdir": str(tmp_path / "run"), **options}
  loop = small.loop(net, **options)
  loop.fit(
    array_data() if data is None else data, epochs, validation=validation
  )


EMPTY = tf.data.Dataset.from_tensor_slices((X[:0], Y[:0])).batch(8)
ENDLESS = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8).repeat()
BINARY = {"loss": "binary_crossentropy", "metrics": None}
MSE = {"loss": "mse", "metrics": None}
BAD_FITS = [
  ("few examples", {"data": array_data(batch_size=33)}, "`batch_size` must be"),
  ("no dataset", {"data": EMPTY}, "`data` must be a dataset of at least one"),
  ("endless", {"data": ENDLESS}, "`steps_per_epoch` must be given"),
  ("kind", {"data": (X, Y)}, "`data` must be an ArrayData, a batched"),
  ("epochs", {"epochs": 0}, "`epochs` must be an integer >= 1"),
  (
    "label too high",
    {"data": array_data(y=Y + 1)},
    r"`y` must be labels in \[0, 2\] for 3 outputs; got 3",
  ),
  ("label below 0", {"data": array_data(y=Y - 1)}, r"labels in \[0, 2\].*-1"),
  ("label 0.5", {"data": array_data(y=Y + 0.5)}, "must be integer labels"),
  (
    "validation label",
    {"validation": array_data(y=Y + 9)},
    r"`y` must be labels in \[0, 2\]",
  ),
  (
    "own loss broadcasts",
    {
      "net": one_output,
      "data": array_data(y=X[:, 0]),
      "loss": lambda y, p: tf.square(y - p),
      "metrics": None,
    },
    r"`y` must be of shape \(examples, 1\) for .*, as y\[:, None\] is; got",
  ),
  (
    "binary labels",
    {"net": one_output, "data": array_data(y=Y[:, None]), **BINARY},
    r"`y` must be labels in \[0, 1\]",
  ),
  (
    "features",
    {"data": array_data(X[:, :7])},
    r"`x` must be of shapes .*incompatible.*\(None, 7\)",
  ),
  (
    "validation features",
    {"validation": array_data(X[:, :7])},
    r"`validation` must be of shapes \(8,\) in `x`.*got \(7,\)",
  ),
  (
    "validation without y",
    {"validation": trainloop.ArrayData(X, batch_size=8)},
    "`validation` must be of shapes",
  ),
  (
    "endless validation",
    {"validation": ENDLESS},
    "`validation` must be a dataset that ends",
  ),
  (
    "no y",
    {"data": trainloop.ArrayData(X, batch_size=8)},
    "`y` must be given, because there is a `loss`",
  ),
  (
    "metric",
    {"metrics": ["acuracy"]},
    "`loss` and `metrics` must be a loss and metrics that fit",
  ),
  (
    "never validates in time",
    {"validate_every": "9ep", "validation": array_data()},
    "`validate_every` must be at most the run's 8 steps",
  ),
  ("workdir", {"workdir": ""}, "`workdir` must be a local folder's path"),
  ("workdir kind", {"workdir": 3}, "`workdir` must be a local folder's path"),
  (
    "bucket",
    {"workdir": "gs://a/b"},
    "`workdir` must be a local folder's path",
  ),
  ("strategy", {"strategy": 3}, "`strategy` must be a tf.distribute.Strategy"),
  (
    "no validation",
    {"early_stopping": trainloop.EarlyStopping("val_loss")},
    "`validation` must be given, because `val_loss` is monitored",
  ),
  (
    "unknown monitor",
    {"early_stopping": trainloop.EarlyStopping("val_acc")},
    "`monitor` must be one of loss, accuracy, val_loss, val_accuracy",
  ),
  (
    "1cycle too short",
    {"schedule": kernels.OneCycle(0.1, 7)},
    "`schedule` must be a schedule of at least 8 steps",
  ),
  (
    "sweep too short",
    {"schedule": kernels.RangeSweep(0.1, 1.0, 7)},
    "`schedule` must be a schedule of at least 8 steps",
  ),
  ("steps_per_loop", {"steps_per_loop": 0}, "`steps_per_loop` must be"),
  ("compile", {"compile": "fast"}, "`compile` must be one of"),
  ("schedule", {"schedule": 0.1}, "`schedule` must be a kernels.Schedule"),
  ("validate_every", {"validate_every": "x"}, "`validate_every` must be a dur"),
  ("never validates", {"validate_every": "0st"}, "`validate_every` must be at"),
  ("log_every", {"log_every": 0}, "`log_every` must be an integer >= 1"),
  ("log_every", {"log_every": "all"}, "`log_every` must be 'auto' or an int"),
  ("on_nonfinite", {"on_nonfinite": "hope"}, "`on_nonfinite` must be one of"),
  ("model", {"net": lambda: 3}, "`model` must be a keras.Model"),
  ("early_stopping", {"early_stopping": 3}, "`early_stopping` must be a train"),
]


@pytest.mark.parametrize(
  ("options", "match"),
  [case[1:] for case in BAD_FITS],
  ids=[case[0] for case in BAD_FITS],
)
def test_bad_fits_write_nothing(tmp_path, options, match):
  with pytest.raises(ValueError, match=match) as caught:
    fit(tmp_path, **options)
  assert "\n" not in str(caught.value)
  assert list(tmp_path.iterdir()) == []


def test_a_frozen_model_is_refused(tmp_path):
  net = small.model()
  net.trainable = False
  with pytest.raises(ValueError, match="`model` must be a model with train"):
    fit(tmp_path, net)


def test_a_workdir_under_a_file(tmp_path):
  (tmp_path / "file").write_text("mine")
  loop = small.loop(workdir=str(tmp_path / "file" / "run"))
  with pytest.raises(ValueError, match="`workdir` must be writable"):
    loop.fit(array_data(), 1)
  assert (tmp_path / "file").read_text() == "mine"


def test_a_workdir_nobody_may_write():
  loop = small.loop(workdir="/proc/run")
  with pytest.raises(ValueError, match=r"`workdir` must be writable \(/proc"):
    loop.fit(array_data(), 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_workdir(tmp_path):
  tmp_path.chmod(0o500)
  with pytest.raises(ValueError, match="`workdir` must be writable"):
    fit(tmp_path)


def test_arrays_as_keras_takes_them():
  x, y = small.arrays()
  with pytest.raises(ValueError, match="`data` must be an ArrayData") as caught:
    small.loop().fit(x, y)
  assert "\n" not in str(caught.value)
