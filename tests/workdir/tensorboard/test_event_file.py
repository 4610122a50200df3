"""Event files, read back with TensorBoard's own reader."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernels
from support import interruption, small, workdirs
from trainloop.model.rows import Layout
from trainloop.workdir.fit_plan import FitPlan
from trainloop.workdir.tensorboard import event_file, event_writer, logged

STEPS = 36


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("run") / "deep" / "er"
  loop = small.loop(
    schedule=kernels.OneCycle(0.1, STEPS),
    workdir=workdir,
    steps_per_loop=7,
  )
  history = loop.fit(small.data(), 3, validation=small.data(32, 16))
  return workdir, history


def test_every_update_is_there_once(run):
  workdir, history = run
  found = workdirs.scalars(workdir / "train")
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
  plan, actual = (
    workdirs.scalars(workdir / "plan"),
    workdirs.scalars(workdir / "train"),
  )
  assert set(plan) == {event_file.LEARNING_RATE, event_file.MOMENTUM}
  for tag, (steps, values) in plan.items():
    assert steps == actual[tag][0]
    assert values.tobytes() == actual[tag][1].tobytes()


def test_epoch_metrics_stand_at_the_epochs_last_step(run):
  workdir, history = run
  train, valid = (
    workdirs.scalars(workdir / "train"),
    workdirs.scalars(workdir / "validation"),
  )
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
  loop = small.loop(
    schedule=kernels.Constant(0.1), workdir=tmp_path, compile="graph"
  )

  def look(edge):
    seen.append(
      len(workdirs.scalars(tmp_path / "plan")[event_file.LEARNING_RATE][0])
    )

  with interruption.windows(before=look):
    loop.fit(small.data(), 3)
  assert seen[0] == STEPS


def test_no_momentum_tag_without_momentum(tmp_path):
  loop = small.loop(
    optimizer=keras.optimizers.Adagrad(), workdir=tmp_path, compile="graph"
  )
  loop.fit(small.data(), 1)
  for name in ("plan", "train"):
    assert event_file.MOMENTUM not in workdirs.scalars(tmp_path / name)
    assert event_file.LEARNING_RATE in workdirs.scalars(tmp_path / name)


def test_log_every_keeps_each_points_own_values(tmp_path):
  loop = small.loop(
    schedule=kernels.OneCycle(0.1, STEPS),
    workdir=tmp_path,
    steps_per_loop=7,
    log_every=5,
    compile="graph",
  )
  rows = loop.fit(small.data(), 3).rows
  steps, values = workdirs.scalars(tmp_path / "train")["loss"]
  ends = [11, 23, 35]  # of epochs: always
  assert steps == sorted({*range(0, STEPS, 5), *ends})
  assert values.tobytes() == rows["loss"][steps].tobytes()


@pytest.fixture
def long(monkeypatch):
  """A limit that 36 updates in three epochs are beyond."""
  monkeypatch.setattr(logged, "MOST", 10)
  monkeypatch.setattr(logged, "_MOST_METRICS", 2)


def test_a_long_fit_logs_so_many_rows_and_keeps_all(long, tmp_path, capsys):
  valid = small.data(32, 16)
  options = {"schedule": kernels.OneCycle(0.1, STEPS), "steps_per_loop": 7}
  loop = small.loop(
    workdir=tmp_path / "whole", verbose=1, **options, compile="graph"
  )
  rows = loop.fit(small.data(), 3, validation=valid).rows
  found = workdirs.scalars(tmp_path / "whole" / "train")
  steps, values = found["loss"]
  # Each fourth; of epochs, and of validations, each second and the last.
  assert steps == sorted({*range(0, STEPS, 4), 23, 35})
  assert values.tobytes() == rows["loss"][steps].tobytes()
  for run, tag in (("train", "epoch_loss"), ("validation", "loss")):
    assert workdirs.scalars(tmp_path / "whole" / run)[tag][0] == [23, 35]
  assert rows["step"].tolist() == list(range(STEPS))
  assert (tmp_path / "whole" / "rows.f32").stat().st_size == STEPS * 20
  said = re.search(
    r"\(1 update in 4, at most (\S+) MB\)", capsys.readouterr().out
  )
  assert 0.5 * float(said[1]) < size_of_rows(tmp_path) / 1e6 < float(said[1])
  # Cut off and gone on with, the same points are there.
  cut = small.loop(workdir=tmp_path / "cut", on_window=lambda _: cut.stop(),
                   **options, compile="graph")  # fmt: skip
  assert cut.fit(small.data(), 3, validation=valid).stop_reason == "preempted"
  again = small.loop(workdir=tmp_path / "cut", **options, compile="graph")
  assert again.fit(small.data(), 3, validation=valid).rows["step"].size == STEPS
  assert again.resumed_from == [cut.global_step]
  for run in ("train", "validation"):
    assert str(workdirs.scalars(tmp_path / "cut" / run)) == str(
      workdirs.scalars(tmp_path / "whole" / run)
    )
  # The next fit is shorter, and decides by itself.
  again.fit(small.data(), 1, schedule=kernels.Constant(0.1))
  steps, _ = workdirs.scalars(tmp_path / "cut" / "train")["loss"]
  assert steps[-8:] == [35, 36, 38, 40, 42, 44, 46, 47]


def size_of_rows(tmp_path):
  """Bytes of the records that hold rows of updates."""
  (path,) = (tmp_path / "whole" / "train").glob("events.out.*")
  records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
  return sum(len(r) + 16 for r in records if b"grad_norm\x15" in r)


@pytest.mark.parametrize(
  ("epochs", "size", "log_every", "want"),
  [
    (10, 100_000, "auto", (1, 1, 1)),
    (10**6, 1, "auto", (1, 1, 1)),
    (10, 100_001, "auto", (2, 1, 1)),
    (22, 100_000, "auto", (3, 1, 1)),
    (10**6, 100, "auto", (100, 10, 10)),
    (10**8, 1, "auto", (100, 1000, 1000)),
    (10**6, 100, 7, (7, 1, 1)),
    (10**6, 100, 1, (1, 1, 1)),
  ],
)
def test_how_much_is_logged(epochs, size, log_every, want):
  plan = FitPlan(5, 0, 0, epochs, size, size, size)
  found = logged.of(log_every, plan)
  assert found == want
  # Of rows, and of the ends of epochs where each is an update; 160 bytes.
  assert log_every != "auto" or found.size(plan, Layout()) < 2 * 10**6 * 160


def test_a_second_fit_goes_on_in_the_same_run(tmp_path):
  loop = small.loop(
    schedule=kernels.Constant(0.1), workdir=tmp_path, compile="graph"
  )
  loop.fit(small.data(), 1)
  loop.fit(small.data(), 2)
  for name in ("train", "plan"):
    steps, _ = workdirs.scalars(tmp_path / name)[event_file.LEARNING_RATE]
    assert steps == list(range(STEPS)), name


def test_a_writers_error_reaches_the_loop(tmp_path):
  writer = event_writer.EventWriter(tmp_path)
  writer.scalars("no/such\0run", 0, {"loss": 1.0})
  with pytest.raises(ValueError, match="null"):
    writer.close()
