"""Disk trouble: full, failing, gone. Training goes on, and nothing is lost."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import threading

import numpy as np
import pytest
import tensorflow as tf

from support import interruption, reruns, small, stored, workdirs
from trainloop.model.rows import Layout
from trainloop.workdir import wall_clock
from trainloop.workdir.checkpoints import files, saver
from trainloop.workdir.tensorboard import event_file, event_writer


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  """The same run in many workdirs, by a loop that is traced once."""
  return reruns.Reruns(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def whole(runs):
  workdir = runs.new()
  return runs.outcome(workdir, runs.fit(workdir))


def fill(folder):
  """Takes all the space that is left; removing the file gives it back."""
  path = pathlib.Path(folder, "filler")
  with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
    for size in (4096, 1):
      while True:
        file.write(b"x" * size)
  return path


def test_events_wait_for_space(disk):
  told = []
  writer = event_writer.EventWriter(disk / "run", tell=told.append)
  rows = np.arange(50_000, dtype=np.float32).reshape(-1, 5)
  writer.rows(0.0, 0, rows[:2000])
  writer.flush()
  filler = fill(disk)
  for start in range(2000, 8000, 500):
    writer.rows(0.0, start, rows[start : start + 500])
    with pytest.raises((OSError, tf.errors.OpError)):
      writer.flush()
  writer.scalars("validation", 7999, {"loss": 1.0})
  # What is there can be read, and ends with the last good flush.
  steps, _ = workdirs.scalars(disk / "run" / "train")["loss"]
  assert steps == list(range(2000))
  filler.unlink()
  subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
  writer.rows(0.0, 8000, rows[8000:10_000])
  writer.close()
  found = workdirs.scalars(disk / "run" / "train")
  for column, tag in enumerate(event_file.tags(Layout())):
    steps, values = found[tag]
    assert steps == list(range(10_000))
    assert values.tobytes() == rows[:, column].tobytes()
  assert workdirs.scalars(disk / "run" / "validation")["loss"][0] == [7999]
  assert len(told) == 2 and "wait in memory" in told[0]
  assert told[1] == "events are written again, none is missing"


def test_a_run_on_a_disk_that_fills_up(monkeypatch, runs, whole, disk):
  monkeypatch.setattr(saver, "_RETRY_SECONDS", 0.0)
  fillers = []

  def fills(edge):
    if edge.done in (7, 35):
      edge.wait_for_save()
    if edge.done == 7:
      fillers.append(fill(disk))
    if edge.done == 35:
      fillers.pop().unlink()

  with interruption.windows(before=fills):
    history = runs.fit(disk / "run")
  assert not fillers
  told = "\n".join(runs.told)
  assert "could not be saved" in told and "No space left" in told
  assert runs.outcome(disk / "run", history) == whole
  assert not list(disk.rglob("part*"))


def test_a_run_killed_while_the_disk_is_full(runs, whole, disk):
  fillers = []

  def fills(edge):
    if edge.done == 7:
      edge.wait_for_save()
      fillers.append(fill(disk))

  with interruption.windows(before=fills):
    interruption.cut_at(28, lambda: runs.fit(disk / "run"))
  fillers.pop().unlink()
  history = runs.fit(disk / "run")
  assert runs.loop.resumed_from == [7]
  assert runs.outcome(disk / "run", history) == whole


def test_a_full_disk_at_the_start_or_at_the_end_is_an_error(monkeypatch, disk):
  monkeypatch.setattr("time.sleep", lambda seconds: None)
  filler = fill(disk)
  loop = small.loop(workdir=disk / "run", compile="graph")
  with pytest.raises(OSError, match="checkpoint of step 0 cannot be written"):
    loop.fit(small.data(), 1)
  filler.unlink()
  with (
    interruption.windows(after=lambda edge: edge.done == 12 and fill(disk)),
    pytest.raises(OSError, match="checkpoint of step 12 cannot be written"),
  ):
    loop.fit(small.data(), 1)
  (disk / "filler").unlink()
  again = small.loop(workdir=disk / "run", compile="graph")
  assert again.fit(small.data(), 1).rows["step"].tolist() == list(range(12))


@pytest.mark.parametrize("call", ["fsync", "replace", "pwrite", "remove"])
@pytest.mark.parametrize("nth", [1, 2, 3, 4])
def test_a_call_that_fails_loses_no_state(monkeypatch, tmp_path, call, nth):
  """The state on the disk is the old one or the new one, and whole."""
  stored.save(tmp_path, 1, 2)
  real, left = getattr(os, call), [nth]

  def fails(*args, **options):
    left[0] -= 1
    if left[0] == 0:
      raise OSError(5, "Input/output error")
    return real(*args, **options)

  groups, told = stored.variables(0), []
  opened, saves = stored.store(tmp_path, groups, tell=told.append)
  opened.begin()
  new = tf.nest.flatten(stored.variables(3))
  for mine, theirs in zip(tf.nest.flatten(groups), new, strict=True):
    mine.assign(theirs)
  opened.journal.add(np.full((1, 5), 3, np.float32))
  with monkeypatch.context() as patch:
    patch.setattr(os, call, fails)
    saves.save(3, stored.written())
    saved = saves.wait()
  saves.close()
  opened.close()
  assert saved == (not told)
  wanted = [stored.values(stored.variables(i)) for i in (2, 3)]
  found = stored.restored(tmp_path)
  assert found in wanted and (not saved or found == wanted[1])
  assert not list(tmp_path.rglob("part*"))


def test_a_save_that_failed_is_tried_again(monkeypatch, tmp_path):
  monkeypatch.setattr(saver, "_RETRY_SECONDS", 0.0)
  real, left = files.CheckpointFiles._write_part, [3]

  def fails(self, part, tensors):
    left[0] -= 1
    if left[0] in (0, 1):
      raise OSError(28, "No space left on device")
    return real(self, part, tensors)

  monkeypatch.setattr(files.CheckpointFiles, "_write_part", fails)
  loop = small.loop(
    workdir=tmp_path, compile="graph", checkpoint_every="5st", steps_per_loop=1
  )
  saves = []
  real_save = saver.Saver.save

  def notes(self, step, *values):
    saves.append(step)
    real_save(self, step, *values)
    self.wait()

  monkeypatch.setattr(saver.Saver, "save", notes)
  loop.fit(small.data(), 1)
  # 5 fails, so does its second try at 6; 7 succeeds.
  assert saves == [0, 5, 6, 7, 10, 12]


def test_a_workdir_that_is_gone_ends_the_run(runs, tmp_path):
  def removes(edge):
    if edge.done == 7:
      edge.wait_for_save()
      shutil.rmtree(tmp_path / "run")

  with (
    interruption.windows(before=removes),
    pytest.raises(OSError, match="was removed or replaced while") as caught,
  ):
    runs.fit(tmp_path / "run")
  assert "\n" not in str(caught.value)


def test_the_loop_goes_on_while_a_save_is_written(monkeypatch, tmp_path):
  """The copy is that of its step, however much later it is written."""
  real, free = files.CheckpointFiles._write_part, threading.Event()
  seen = []

  def waits(self, part, tensors):
    if not seen:
      seen.append(None)  # the first checkpoint, before step 1
    elif len(seen) == 1:
      assert free.wait(60)
      seen.append(loop.global_step)
    real(self, part, tensors)

  monkeypatch.setattr(files.CheckpointFiles, "_write_part", waits)
  loop = small.loop(
    small.model(rich=True),
    workdir=tmp_path,
    checkpoint_every="10st",
    steps_per_loop=2,
    compile="graph",
    keep=9,
  )
  with interruption.windows(after=lambda edge: edge.done == 18 and free.set()):
    loop.fit(small.data(), 2)
  assert seen[1] >= 18
  # What was saved at 10 is what training to 10 gives.
  reader = tf.train.load_checkpoint(str(tmp_path / "checkpoints" / "ckpt-2"))
  other = small.loop(
    small.model(rich=True),
    workdir=tmp_path / "b",
    checkpoint_every="10st",
    compile="graph",
    keep=9,
  )
  other.fit(small.data(), 2)
  folder = tmp_path / "b" / "checkpoints"
  want = tf.train.load_checkpoint(str(folder / "ckpt-2"))
  for name in want.get_variable_to_dtype_map():
    if name not in ("log", "written", "data"):
      found = reader.get_tensor(name)
      assert found.tobytes() == want.get_tensor(name).tobytes(), name


def test_nothing_is_written_anew_before_the_torn_file_is_cut(
  monkeypatch, tmp_path
):
  """A failed truncate is no success: else events would be there twice."""
  writer = event_writer.EventWriter(tmp_path, tell=lambda text: None)
  rows = np.arange(100, dtype=np.float32).reshape(-1, 5)
  writer.rows(0.0, 0, rows[:10])
  writer.flush()
  reached, cuts = event_file.EventFile.reached, [2]
  cut = os.ftruncate

  def fails(self):
    raise OSError(5, "Input/output error")

  def fails_twice(*args):
    cuts[0] -= 1
    if cuts[0] >= 0:
      raise OSError(5, "Input/output error")
    return cut(*args)

  monkeypatch.setattr(os, "ftruncate", fails_twice)
  monkeypatch.setattr(event_file.EventFile, "reached", fails)
  writer.rows(0.0, 10, rows[10:])
  with pytest.raises(OSError, match="Input/output"):
    writer.flush()
  monkeypatch.setattr(event_file.EventFile, "reached", reached)
  with pytest.raises(OSError, match="Input/output"):
    writer.flush()
  assert len(list((tmp_path / "train").iterdir())) == 1
  writer.close()
  assert cuts[0] < 0
  steps, _ = workdirs.scalars(tmp_path / "train")["loss"]
  assert steps == list(range(20))


def test_new_event_files_are_behind_the_old_ones(monkeypatch, tmp_path):
  """Whatever the clock says; nor do wall times go back."""
  clock = wall_clock.WallClock()
  rows = np.arange(10, dtype=np.float32).reshape(-1, 5)
  for i, now in enumerate((2e9, 1e9, 1e9, 2.5e9, 3e8)):
    monkeypatch.setattr("time.time", lambda now=now: now)
    writer = event_writer.EventWriter(tmp_path, clock=clock)
    writer.rows(now, 2 * i, rows)
    writer.close()
    clock = wall_clock.WallClock(clock.latest)  # as another process has it
  points = workdirs.accumulator(tmp_path / "train", scalars=0).Scalars("loss")
  assert [point.step for point in points] == list(range(10))
  times = [point.wall_time for point in points]
  assert times == sorted(times)
  assert len(list((tmp_path / "train").iterdir())) == 5


@pytest.mark.parametrize("call", ["ftruncate", "remove"])
def test_what_cannot_be_cut_is_not_written_behind(
  monkeypatch, runs, tmp_path, call
):
  interruption.cut_after(9, lambda: runs.fit(tmp_path))
  (tmp_path / "train" / min(os.listdir(tmp_path / "train"))).open("ab").write(
    b"torn"
  )
  name = max(os.listdir(tmp_path / "train"))
  extra = name.replace("events.out.tfevents.1", "events.out.tfevents.2")
  shutil.copy(tmp_path / "train" / name, tmp_path / "train" / extra)
  before = workdirs.files(tmp_path)

  def fails(*args, **options):
    raise OSError(5, "Input/output error")

  with monkeypatch.context() as patch:
    patch.setattr(os, call, fails)
    with pytest.raises((OSError, ValueError), match="Input/output") as caught:
      runs.fit(tmp_path)
  assert "\n" not in str(caught.value)
  after = workdirs.files(tmp_path)
  assert after["rows.f32"] == before["rows.f32"]
  assert after.keys() <= before.keys()
  assert runs.fit(tmp_path).rows["step"].size == 48
