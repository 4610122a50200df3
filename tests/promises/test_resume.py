"""A run that was cut off is the run that was not."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernels
import trainloop
from support import interruption, reruns, resumable, small, workdirs


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("whole")
  loop = resumable.make(workdir)
  history = resumable.fit(loop)
  return workdir, loop, history, workdirs.series(workdir)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  """The same run in many workdirs, by a loop that is traced once."""
  stopping = trainloop.EarlyStopping("val_loss", patience=3)
  folder = tmp_path_factory.mktemp("runs")
  return reruns.Reruns(folder, early_stopping=stopping)


@pytest.mark.parametrize("windows", [1, 3, 4, 9, 12, 14])
def test_equal_to_the_run_nobody_cut(runs, whole, windows):
  workdir = runs.new()
  interruption.cut_after(windows, lambda: runs.fit(workdir))
  equal_to(whole, workdir, runs.loop, runs.fit(workdir))


def test_new_loops_are_equal_to_it_too(tmp_path, whole):
  resumable.cut_off(tmp_path, 9)
  loop = resumable.make(tmp_path)
  equal_to(whole, tmp_path, loop, resumable.fit(loop))


def equal_to(whole, workdir, loop, history):
  """Asserts that a run that went on is, byte for byte, the whole one."""
  _, reference, want, all_series = whole
  assert small.state_of(loop) == small.state_of(reference)
  assert loop.best == reference.best
  assert history.stop_reason == want.stop_reason
  for name, values in want.rows.items():
    assert history.rows[name].tobytes() == values.tobytes(), name
  for name, values in want.epochs.items():
    np.testing.assert_array_equal(history.epochs[name], values, name)
  assert workdirs.series(workdir) == all_series
  assert loop.resumed_from
  assert all(step % 7 == 0 for step in loop.resumed_from)
  assert not list(workdir.rglob("*_temp*"))


def test_cut_off_in_xla(tmp_path):
  reference = resumable.make(tmp_path / "whole", compile="xla")
  resumable.fit(reference)
  resumable.cut_off(tmp_path / "cut", 9, compile="xla")
  loop = resumable.make(tmp_path / "cut", compile="xla")
  resumable.fit(loop)
  assert small.state_of(loop) == small.state_of(reference)
  assert workdirs.series(tmp_path / "cut") == workdirs.series(
    tmp_path / "whole"
  )


def test_cut_off_again_and_again(runs, whole):
  workdir = runs.new()
  for windows in (3, 2, 4, 3):
    interruption.cut_after(windows, lambda: runs.fit(workdir))
  equal_to(whole, workdir, runs.loop, runs.fit(workdir))


def test_a_finished_run_is_left_alone(whole):
  workdir, reference, want, _ = whole
  before = workdirs.files(workdir)
  loop = resumable.make(workdir)
  history = resumable.fit(loop)
  assert workdirs.files(workdir) == before
  assert small.state_of(loop) == small.state_of(reference)
  assert history.rows["loss"].tobytes() == want.rows["loss"].tobytes()
  assert history.stop_reason == want.stop_reason


def test_a_dataset_goes_on_inside_an_epoch(tmp_path):
  x, y = small.arrays()
  dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
  loop = resumable.make(tmp_path / "whole")
  resumable.fit(loop, dataset)
  resumable.cut_off(tmp_path / "cut", 4, dataset)
  other = resumable.make(tmp_path / "cut")
  resumable.fit(other, dataset)
  assert other.resumed_from == [7]
  assert small.state_of(loop) == small.state_of(other)


def test_the_second_of_two_fits_goes_on(tmp_path):
  def two(loop):
    first = loop.fit(small.data(), 1)
    second = loop.fit(small.data(), 2, schedule=kernels.OneCycle(0.02, 24))
    return first, second

  def new(workdir):
    return resumable.make(workdir, schedule=None, early_stopping=None)

  options = {"checkpoint_every": "1ep", "validate_every": "1ep"}
  sgd = small.loop(
    small.model(rich=True), workdir=tmp_path / "whole", steps_per_loop=5
  )
  want = two(sgd)
  again = [
    small.loop(
      small.model(rich=True),
      workdir=tmp_path / "cut",
      steps_per_loop=5,
      **options,
    )
    for _ in range(2)
  ]
  interruption.cut_before(7, lambda: two(again[0]))
  found = two(again[1])
  assert again[1].resumed_from == [24]
  assert small.state_of(again[1]) == small.state_of(sgd)
  for mine, theirs in zip(found, want, strict=True):
    for name, values in theirs.rows.items():
      assert mine.rows[name].tobytes() == values.tobytes(), name


@pytest.mark.parametrize(
  ("change", "match"),
  [
    ({"epochs": 5}, "`epochs` must be 4, as in the run that .*; got 5"),
    ({"data": small.data(batch_size=4)}, "`batch_size` must be 8"),
    ({"data": small.data(seed=5)}, "`data_seed` must be 0"),
    ({"data": small.data(97)}, "`num_examples` must be 96"),
    (
      {"schedule": kernels.OneCycle(0.1, resumable.STEPS)},
      "`schedule.peak_lr` must be 0.05, .* got 0.1",
    ),
    (
      {"optimizer": keras.optimizers.SGD(momentum=0.9, nesterov=True)},
      "`optimizer.nesterov` must be False",
    ),
    ({"early_stopping": None}, '`early_stopping` must be "EarlyStopping'),
    ({"log_every": 5}, "`log_every` must be 'auto'"),
    (
      {"net": small.model()},
      r"`model.layers\[1\]` must be 'BatchNormalization', .* got 'Dense'",
    ),
  ],
  ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_another_run_is_refused(whole, change, match):
  workdir = whole[0]
  before = workdirs.files(workdir)
  options = {
    "net": small.model(rich=True),
    "schedule": kernels.OneCycle(0.05, resumable.STEPS),
    "early_stopping": trainloop.EarlyStopping("val_loss", patience=3),
    **change,
  }
  epochs, data = options.pop("epochs", 4), options.pop("data", None)
  loop = small.loop(
    workdir=workdir,
    checkpoint_every="7st",
    validate_every="8st",
    compile="graph",
    **options,
  )
  with pytest.raises(ValueError, match=match) as caught:
    resumable.fit(loop, data, epochs)
  assert "\n" not in str(caught.value)
  assert "another workdir" in str(caught.value)
  assert workdirs.files(workdir) == before


def test_other_data_of_the_same_size_is_refused(whole):
  x, y = small.arrays()
  data = trainloop.ArrayData(x + 1, y, batch_size=8)
  with pytest.raises(ValueError, match="`data_crc32` must be"):
    resumable.fit(resumable.make(whole[0]), data)


class Own(keras.optimizers.schedules.LearningRateSchedule):
  """A schedule of a user's own, without get_config."""

  def __call__(self, step):
    return 0.1 / (1.0 + keras.ops.cast(step, "float32"))


def test_a_schedule_of_ones_own_goes_on_too(tmp_path):
  def new(workdir):
    sgd = keras.optimizers.SGD(Own(), momentum=0.9)
    return small.loop(
      optimizer=sgd, workdir=workdir, compile="graph", checkpoint_every="5st"
    )

  valid = small.data(32, 16)
  new(tmp_path / "whole").fit(small.data(), 2, validation=valid)
  cut = new(tmp_path / "cut")
  interruption.cut_at(15, lambda: cut.fit(small.data(), 2, validation=valid))
  again = new(tmp_path / "cut")
  again.fit(small.data(), 2, validation=valid)
  assert again.resumed_from == [15]
  assert workdirs.series(tmp_path / "cut") == workdirs.series(
    tmp_path / "whole"
  )


def test_a_fit_that_stopped_early_keeps_to_its_rows_when_another_followed(
  tmp_path,
):
  def run():
    stopping = trainloop.EarlyStopping(patience=1, min_delta=9.0)
    loop = small.loop(
      workdir=tmp_path / "run", early_stopping=stopping, compile="graph"
    )
    data, valid = small.data(), small.validation()
    return [loop.fit(data, n, validation=valid) for n in (5, 2)]

  first = run()
  assert first[0].stop_reason == "early_stopping"
  for before, again in zip(first, run(), strict=True):
    assert again.restored
    for name, column in before.rows.items():
      assert again.rows[name].tobytes() == column.tobytes(), name


def test_a_stopped_fit_that_another_one_stands_for_is_told_of(tmp_path):
  loop = small.loop(
    workdir=tmp_path / "run",
    compile="graph",
    on_epoch=lambda told: told["epoch"] == 2 and loop.stop(),
  )
  assert loop.fit(small.data(), 5).stop_reason == "preempted"
  with pytest.raises(ValueError, match="was stopped and goes on first"):
    loop.fit(small.data(), 2)
