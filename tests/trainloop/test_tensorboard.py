"""Event files, read back with TensorBoard's own reader."""

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing import event_accumulator

import kernels
import small
from trainloop import event_writer, speed, tensorboard
from trainloop.fit import Fit

STEPS = 36


def read(folder):
  """{tag: (steps, float32 values)} of a run; not those of the clock."""
  reader = event_accumulator.EventAccumulator(
    str(folder), size_guidance={"scalars": 0}
  )
  reader.Reload()
  found = {}
  for tag in reader.Tags()["scalars"]:
    if tag in speed.TAGS:
      continue
    points = reader.Scalars(tag)
    values = np.array([p.value for p in points], np.float32)
    found[tag] = ([p.step for p in points], values)
  return found


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("run") / "deep" / "er"
  loop = small.loop(
    schedule=kernels.OneCycle(0.1, STEPS), workdir=workdir, steps_per_loop=7
  )
  history = loop.fit(small.data(), 3, validation=small.data(32, 16))
  return workdir, history


def test_every_update_is_there_once(run):
  workdir, history = run
  found = read(workdir / "train")
  tags = {
    "hyperparameters/learning_rate": "learning_rate",
    "hyperparameters/momentum": "momentum",
    "loss": "loss",
    "grad_norm": "grad_norm",
  }
  for tag, column in tags.items():
    steps, values = found[tag]
    assert steps == list(range(STEPS)), tag
    assert values.tobytes() == history.rows[column].tobytes(), tag


def test_the_plan_equals_what_happened(run):
  workdir, _ = run
  plan, actual = read(workdir / "plan"), read(workdir / "train")
  assert set(plan) == {tensorboard.LEARNING_RATE, tensorboard.MOMENTUM}
  for tag, (steps, values) in plan.items():
    assert steps == actual[tag][0]
    assert values.tobytes() == actual[tag][1].tobytes()


def test_epoch_metrics_stand_at_the_epochs_last_step(run):
  workdir, history = run
  train, valid = read(workdir / "train"), read(workdir / "validation")
  epochs = history.epochs
  for found, tag, name in (
    (train, "accuracy", "accuracy"),
    (train, "epoch_loss", "loss"),
    (valid, "loss", "val_loss"),
    (valid, "accuracy", "val_accuracy"),
  ):
    steps, values = found[tag]
    assert steps == [11, 23, 35]
    np.testing.assert_array_equal(values, epochs[name].astype(np.float32))


def test_the_plan_is_complete_before_step_1(tmp_path):
  seen = []
  loop = small.loop(schedule=kernels.Constant(0.1), workdir=tmp_path)
  run = Fit.run

  def spy(self, source, validation):
    seen.append(len(read(tmp_path / "plan")[tensorboard.LEARNING_RATE][0]))
    return run(self, source, validation)

  Fit.run = spy
  try:
    loop.fit(small.data(), 3)
  finally:
    Fit.run = run
  assert seen == [STEPS]


def test_no_momentum_tag_without_momentum(tmp_path):
  loop = small.loop(optimizer=keras.optimizers.Adagrad(), workdir=tmp_path)
  loop.fit(small.data(), 1)
  for name in ("plan", "train"):
    assert tensorboard.MOMENTUM not in read(tmp_path / name)
    assert tensorboard.LEARNING_RATE in read(tmp_path / name)


def test_log_every_keeps_each_points_own_values(tmp_path):
  loop = small.loop(
    schedule=kernels.OneCycle(0.1, STEPS),
    workdir=tmp_path,
    steps_per_loop=7,
    log_every=5,
  )
  rows = loop.fit(small.data(), 3).rows
  steps, values = read(tmp_path / "train")["loss"]
  ends = [11, 23, 35]  # of epochs: always
  assert steps == sorted({*range(0, STEPS, 5), *ends})
  assert values.tobytes() == rows["loss"][steps].tobytes()


def test_a_second_fit_goes_on_in_the_same_run(tmp_path):
  loop = small.loop(schedule=kernels.Constant(0.1), workdir=tmp_path)
  loop.fit(small.data(), 1)
  loop.fit(small.data(), 2)
  for name in ("train", "plan"):
    steps, _ = read(tmp_path / name)[tensorboard.LEARNING_RATE]
    assert steps == list(range(STEPS)), name


def test_a_writers_error_reaches_the_loop(tmp_path):
  writer = event_writer.EventWriter(tmp_path)
  writer.scalars("no/such\0run", 0, {"loss": 1.0})
  with pytest.raises(ValueError, match="null"):
    writer.close()
