"""Judging belongs to a fit, unless the same data and schedule go on."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernels
import trainloop
from support import interruption, small
from trainloop.data import source as data_lib
from trainloop.judging.judge import Judge

A, B, NONE = 11, 22, -1
NAN = float("nan")


def judge_of(**options):
  weight = keras.Variable(0.0)
  judge = Judge(
    [weight],
    trainloop.EarlyStopping(patience=3, **options),
    trainloop.ReduceOnPlateau(
      patience=1, factor=0.5, cooldown=5, restore_best_first=True
    ),
  )
  judge.prepare()
  return judge, weight


def give(judge, weight, values, step=0, epoch=0):
  """What it says to some validations, of the epochs after `epoch`."""
  said = []
  for i, value in enumerate(values, 1):
    weight.assign(step + i)
    said.append(judge.verdict({"val_loss": value}, step + i, epoch + i))
  return said


@pytest.mark.parametrize(
  ("anew", "data", "restore", "text"),
  [
    (True, [A, A], "weights", "another schedule"),
    (False, [B, A], "all", "other training data"),
    (False, [A, B], "cycle_end", "other validation data"),
    (False, [A, NONE], "weights", "other validation data"),
    (True, [A, B], "all", "another schedule, other validation data"),
  ],
)
def test_a_fit_on_something_else_is_judged_as_the_first_was(
  anew, data, restore, text
):
  judge, weight = judge_of(restore=restore)
  judge.begin(True, [A, A], 0)
  judge.end_cycle(tf.constant(1, tf.int64))
  assert give(judge, weight, [0.1, 5, 5])[-1] is None
  assert float(judge.scale.numpy()) == 0.5
  assert judge.restore_best() is not None
  judge.begin(anew, data, 3)
  assert judge.basis.text == f"starts anew: {text}"
  assert judge.restore_best() is None and judge.best == {}
  fresh, other = judge_of(restore=restore)
  fresh.begin(True, data, 3)
  values = [9, 8, 8.5, NAN, 8.2]
  want = give(fresh, other, values, 10, 3)
  assert give(judge, weight, values, 10, 3) == want
  assert want[-1] == "early_stopping" and judge.best == fresh.best
  assert float(judge.scale.numpy()) == float(fresh.scale.numpy())
  assert weight.numpy() == other.numpy()
  assert judge.restore_best() == fresh.restore_best()
  assert weight.numpy() == other.numpy()


def test_a_fit_on_the_same_goes_on_and_waits_on():
  judge, weight = judge_of()
  judge.begin(True, [A, A], 0)
  assert judge.basis.text == ""
  assert give(judge, weight, [1, 5]) == [None, None]
  judge.begin(False, [A, A], 2)
  assert judge.basis.text == "goes on from fit 1"
  assert float(judge.scale.numpy()) == 0.5 and judge.best["value"] == 1
  # Two more, and it has waited for three.
  assert give(judge, weight, [5, 5], 2, 2) == [None, "early_stopping"]
  # Stopped, it does not stop at the next one, but waits again.
  judge.begin(False, [A, A], 4)
  assert judge.basis.text == "goes on from fit 1"
  assert judge.stop_reason is None
  assert give(judge, weight, [5, 5, 5], 4, 4)[1:] == [None, "early_stopping"]
  assert judge.best["value"] == 1
  judge.restore_best()
  assert weight.numpy() == 1
  # A run of fits anew begins where the last one did.
  judge.begin(False, [A, B], 7)
  judge.begin(False, [A, B], 8)
  assert judge.basis.text == "goes on from fit 4"


def arrays(shift=0.0, batch_size=16):
  x, y = small.arrays(32)
  return trainloop.ArrayData(x + np.float32(shift), y, batch_size=batch_size)


def dataset(shift=0.0, seed=None):
  x, y = small.arrays(32)
  slices = tf.data.Dataset.from_tensor_slices((x + np.float32(shift), y))
  return slices.shuffle(32, seed).map(lambda x, y: (x, y)).batch(16)


def generated(shift=0.0):
  x, y = small.arrays(32)

  def batches():
    for i in (0, 16):
      yield x[i : i + 16] + np.float32(shift), y[i : i + 16]

  spec = tf.TensorSpec((16, 8)), tf.TensorSpec((16,), tf.int64)
  return tf.data.Dataset.from_generator(batches, output_signature=spec)


def sharded(shift=0.0):
  return trainloop.ShardedData(lambda context: dataset(shift, seed=0), 2)


@pytest.mark.parametrize(
  "make", [arrays, dataset, generated, sharded], ids=lambda f: f.__name__
)
def test_data_is_told_apart_by_what_is_in_it(make):
  def checksum(given):
    return data_lib.adapt("data", given).checksum()

  one = make()
  for _ in range(8):  # TensorFlow's own is not the same twice of a generator
    assert checksum(one) == checksum(one) == checksum(make()) > 0
  assert checksum(one) != checksum(make(0.25))
  if make is arrays:
    assert checksum(one) == checksum(make(batch_size=8))
    x, y = one.arrays[:2]
    same_bytes = trainloop.ArrayData(x.reshape(32, 4, 2), y, batch_size=16)
    assert checksum(one) != checksum(same_bytes)


def test_the_summary_says_it(capsys):
  loop = small.loop(
    verbose=1,
    compile="graph",
    schedule=kernels.Constant(0.1),
    early_stopping=trainloop.EarlyStopping(patience=9),
  )
  fits = [
    (small.data(32), arrays(), {}),
    (small.data(32), arrays(), {}),
    (small.data(32), arrays(0.5), {}),
    (small.data(40), arrays(0.5), {}),
    (small.data(40), arrays(0.5), {"schedule": kernels.Constant(0.1)}),
    (small.data(40), dataset(), {}),
    (small.data(40), dataset(), {}),
    (small.data(40), dataset(0.5), {}),
  ]
  said = []
  for train, valid, options in fits:
    loop.fit(train, 1, validation=valid, **options)
    lines = capsys.readouterr().out.splitlines()
    said.append([line[10:] for line in lines if line.startswith("judging")])
  said[0] = said[0][1:]  # the loop's own line: what it waits for
  validation = ["starts anew: other validation data"]
  assert said == [
    [],
    ["goes on from fit 1"],
    validation,
    ["starts anew: other training data"],
    ["starts anew: another schedule"],
    validation,
    ["goes on from fit 6"],
    validation,
  ]


def hard(examples=32):
  """Labels that no model knows: worse than what the first fit has reached."""
  x, y = small.arrays(examples)
  return trainloop.ArrayData(x, (y + 1) % 3, batch_size=16)


def test_a_second_fit_is_that_of_a_loop_that_has_no_first(tmp_path):
  def make(**options):
    return small.loop(
      schedule=kernels.Constant(0.05),
      early_stopping=trainloop.EarlyStopping(patience=2),
      compile="graph",
      **options,
    )

  two, data = make(), small.data(48)
  two.fit(data, 3, validation=small.data(32, 16))
  other = make()
  other.fit(data, 3, validation=small.data(32, 16))
  first = two.best
  # The same state, and a judge that has never seen anything.
  fresh = other.trainee.state.judge
  fresh.begin(True, [A, A], 3)
  fresh.basis.fit.assign(0)
  want = other.fit(data, 4, validation=hard())
  found = two.fit(data, 4, validation=hard())
  assert min(want.epochs["val_loss"]) > first["value"]
  assert two.best == other.best and two.best["epoch"] > 3
  assert found.stop_reason == want.stop_reason
  assert small.state_of(two) == small.state_of(other)


def make_run(workdir):
  return small.loop(
    small.model(rich=True),
    workdir=workdir,
    schedule=kernels.Constant(0.05),
    early_stopping=trainloop.EarlyStopping(patience=3, restore="all"),
    reduce_on_plateau=trainloop.ReduceOnPlateau(
      patience=1, factor=0.5, restore_best_first=True
    ),
    compile="graph",
    steps_per_loop=5,
    checkpoint_every="4st",
  )


def two_fits(loop):
  loop.fit(small.data(48), 2, validation=small.data(32, 16))
  return loop.fit(small.data(48), 4, validation=hard())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("whole")
  loop = make_run(workdir)
  return loop, two_fits(loop), workdir


@pytest.mark.parametrize("windows", [4, 9])
def test_a_second_fit_that_was_cut_off_is_judged_alike(
  tmp_path, whole, windows
):
  interruption.cut_before(windows, lambda: two_fits(make_run(tmp_path)))
  loop, (reference, want, _) = make_run(tmp_path), whole
  found = two_fits(loop)
  assert loop.best == reference.best and loop.best["epoch"] > 2
  assert found.stop_reason == want.stop_reason
  assert found.rows["loss"].tobytes() == want.rows["loss"].tobytes()
  assert small.state_of(loop) == small.state_of(reference)
  assert loop.trainee.state.judge.basis.text == (
    "starts anew: other validation data"
  )


def test_a_fit_goes_on_with_its_own_validation_data_only(whole):
  loop = make_run(whole[2])
  with pytest.raises(ValueError, match=r"`validation\.data_crc32` must be"):
    loop.fit(small.data(48), 2, validation=hard())
