"""Records that are damaged are made again, or what is lost is said."""

import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from support import reruns, workdirs
from trainloop.model.rows import Layout
from trainloop.workdir import claims, mending
from trainloop.workdir.tensorboard import event_file

TRAIN = ("train", event_file.LEARNING_RATE)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  return reruns.Reruns(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def whole(runs):
  workdir = runs.new()
  return runs.outcome(workdir, runs.fit(workdir))


@pytest.fixture(scope="module")
def cut(runs, whole):
  return runs.cut(runs.new(), 9)


def flip(path, at=0.5):
  content = bytearray(path.read_bytes())
  content[int(at * len(content))] ^= 0x40
  path.write_bytes(content)


def resize(path, change):
  os.truncate(path, max(0, path.stat().st_size + change))


def beyond(path):
  with path.open("ab") as file:
    file.write(b"x" * 33)


def grown_at_the_front(path):
  path.write_bytes(bytes(20) + path.read_bytes())


def rows_of(workdir):
  return workdir / "rows.f32"


def events_of(workdir, run="train"):
  return min((workdir / run).iterdir())


ROWS = {
  "gone": pathlib.Path.unlink,
  "empty": lambda path: path.write_bytes(b""),
  "a byte short": lambda path: resize(path, -21),
  "half": lambda path: resize(path, -300),
  "a flipped byte": flip,
  "a flipped first byte": lambda path: flip(path, 0),
  "a row in front": grown_at_the_front,
  "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
}


@pytest.mark.parametrize("damage", ROWS.values(), ids=list(ROWS))
def test_rows_are_made_again_from_events(runs, whole, cut, damage):
  workdir = runs.new(cut)
  resize(rows_of(workdir), -(rows_of(workdir).stat().st_size % 140))
  damage(rows_of(workdir))
  history = runs.fit(workdir)
  assert runs.told == [
    "warning: rows.f32 was damaged; it was made again, to the byte"
  ]
  assert runs.outcome(workdir, history) == whole
  assert not (workdir / ".mended.part").exists()
  # Once is enough: the run that went on has it on the disk.
  assert runs.fit(workdir).restored and runs.told == []


def test_what_a_kill_leaves_behind_the_checkpoint_is_no_damage(
  runs, whole, cut
):
  workdir = runs.new(cut)
  for path in (rows_of(workdir), events_of(workdir)):
    beyond(path)
  history = runs.fit(workdir)
  assert runs.told == []
  assert runs.outcome(workdir, history) == whole


EVENTS = {
  "gone": pathlib.Path.unlink,
  "empty": lambda path: path.write_bytes(b""),
  "half": lambda path: resize(path, -path.stat().st_size // 2),
  "a flipped byte": flip,
  "a flipped byte of the first record": lambda path: flip(path, 0),
  "the folder is gone": lambda path: shutil.rmtree(path.parent),
}


@pytest.mark.parametrize("damage", EVENTS.values(), ids=list(EVENTS))
def test_events_of_rows_are_made_again(runs, whole, cut, damage):
  workdir = runs.new(cut)
  damage(events_of(workdir))
  history = runs.fit(workdir)
  (line,) = runs.told
  assert line.startswith("warning: train/events.out.tfevents.")
  found = runs.outcome(workdir, history)
  for part in ("state", "rows", "epochs", "reason"):
    assert found[part] == whole[part]
  for tag in event_file.tags(Layout()):
    key = ("train", tag)
    assert found["events"][key] == whole["events"][key], tag
  assert increasing(workdir)
  runs.fit(workdir)
  assert runs.told == []


def increasing(workdir):
  """Whether wall times never go back in the files' order, and versions are
  first."""
  for run in workdirs.RUNS:
    times = []
    for path in sorted((workdir / run).iterdir()):
      events = [
        event_file.event_pb2.Event.FromString(record)
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
      ]
      assert events[0].file_version
      times += [event.wall_time for event in events]
    assert (np.diff(times) >= 0).all(), run
  return True


@pytest.mark.parametrize("run", ["validation", "plan", "fit_1"])
def test_events_without_rows_lose_what_stood_there(runs, whole, cut, run):
  workdir = runs.new(cut)
  flip(events_of(workdir, run))
  history = runs.fit(workdir)
  (line,) = runs.told
  assert "was damaged: values that stood in the damaged place" in line
  assert runs.outcome(workdir, history)["rows"] == whole["rows"]


def test_rows_that_are_nowhere_are_marked(runs, whole, cut):
  workdir = runs.new(cut)
  content = rows_of(workdir).read_bytes()
  at = content[:400].rindex(content[200:204])  # row 10's learning rate
  events = events_of(workdir)
  damaged = events.read_bytes()
  place = damaged.index(content[200:204])
  events.write_bytes(damaged[:place] + b"\xff" + damaged[place + 1 :])
  rows_of(workdir).write_bytes(content[:at] + b"\xff" + content[at + 1 :])
  rows = runs.fit(workdir).rows
  assert "of its rows are NaN now" in runs.told[0], runs.told
  bad = np.isnan(rows["learning_rate"])
  assert bad[10] and bad.sum() == 1
  for name, values in rows.items():
    want = np.frombuffer(whole["rows"][name], values.dtype)
    same = values[~bad] == want[~bad]
    assert same.all() or name == "skipped", name


@pytest.mark.parametrize("place", ["rows.f32", "train"])
def test_a_folder_or_file_in_the_place_is_refused(runs, cut, place):
  workdir = runs.new(cut)
  path = workdir / place
  if path.is_dir():
    shutil.rmtree(path)
    path.write_text("mine")
  else:
    path.unlink()
    path.mkdir()
  before = sorted(workdir.rglob("*"))
  with pytest.raises(ValueError, match=f"must be a f.*{place}") as e:
    runs.fit(workdir)
  assert "\n" not in str(e.value)
  assert sorted(workdir.rglob("*")) == before


def test_a_finished_run_gives_no_wrong_rows(runs, whole):
  workdir = runs.new()
  runs.fit(workdir)
  flip(rows_of(workdir))
  history = runs.fit(workdir)
  assert history.restored and len(runs.told) == 1
  assert runs.outcome(workdir, history) == whole


GONE = {
  "rows.f32": lambda workdir: rows_of(workdir).unlink(),
  "rows.f32, replaced": lambda workdir: (
    shutil.copy(workdir / "rows.f32", workdir / "copy")
    and os.replace(workdir / "copy", workdir / "rows.f32")
  ),
  "rows.f32, cut": lambda workdir: os.truncate(rows_of(workdir), 0),
  "an event file": lambda workdir: events_of(workdir).unlink(),
  "an event file, renamed": lambda workdir: events_of(workdir).rename(
    workdir / "events"
  ),
  "a folder of events": lambda workdir: shutil.rmtree(workdir / "train"),
  "the workdir, moved": lambda workdir: workdir.rename(
    workdir.with_name(f"{workdir.name}_moved")
  ),
}


@pytest.mark.parametrize("remove", GONE.values(), ids=list(GONE))
def test_what_goes_while_a_run_runs_ends_it_in_one_line(runs, whole, remove):
  workdir = runs.new()
  with (
    runs.on_window(16, lambda: remove(workdir)),
    pytest.raises(OSError, match="was removed or replaced while") as caught,
  ):
    runs.fit(workdir)
  assert "\n" not in str(caught.value)
  moved = workdir.with_name(f"{workdir.name}_moved")
  if moved.exists():
    assert not workdir.exists()  # nothing was made where it was
    workdir = moved
  history = runs.fit(workdir)
  found = runs.outcome(workdir, history)
  assert {**found, "events": 0} == {**whole, "events": 0}
  assert found["events"][TRAIN] == whole["events"][TRAIN]


def test_checkpoints_that_go_while_a_run_runs_are_written_anew(runs, whole):
  workdir = runs.new()
  with runs.on_window(16, lambda: shutil.rmtree(workdir / "checkpoints")):
    history = runs.fit(workdir)
  assert runs.outcome(workdir, history) == whole
  assert runs.fit(workdir).restored


def test_a_journal_of_many_blocks(tmp_path, monkeypatch):
  """Only the block that is damaged is taken from the events."""
  monkeypatch.setattr(mending.row_journal, "BLOCK", 4)
  rows = np.arange(70, dtype=np.float32).reshape(-1, 5)
  (tmp_path / "rows.f32").write_bytes(rows.tobytes())
  crcs = mending.row_journal.crcs_of(rows)
  flip(tmp_path / "rows.f32")
  written = mending.Written({}, crcs, 0.0)
  found = mending.Mending(str(tmp_path), written, 14, [], Layout())
  found.run()
  assert "4 of its rows are NaN" in found.lines[0]
  now = np.fromfile(tmp_path / "rows.f32", np.float32).reshape(-1, 5)
  assert np.isnan(now[4:8]).all()
  np.testing.assert_array_equal(now[:4], rows[:4])
  np.testing.assert_array_equal(now[8:], rows[8:])
  assert found.written.crcs == mending.row_journal.crcs_of(now)


def test_nothing_starts_over_where_rows_stand_in_events_alone(runs, cut):
  workdir = runs.new(cut)
  shutil.rmtree(workdir / "checkpoints")
  rows_of(workdir).write_bytes(b"")
  before = sorted(workdir.rglob("*"))
  with pytest.raises(ValueError, match="without events of a run that is gone"):
    runs.fit(workdir)
  assert set(before) <= set(workdir.rglob("*"))
  assert claims.newest_fits(str(workdir)) == []
