"""Whose a workdir is: a user's files stay, planted links lead nowhere."""

import dataclasses
import os
import pathlib
import stat

import pytest
import tensorflow as tf

import kernels
from support import small, workdirs
from trainloop.model import snapshot
from trainloop.workdir import dry_run

EVENTS = "events.out.tfevents"
# What users and other programs put into a workdir, beside a run of ours.
THEIRS = (
  "notes.txt",
  "result.json.bak",
  ".result.json.part",
  ".part.model.keras",
  "rows.f32.old",
  "model.keras.txt",
  "saved_model/notes.txt",
  "train/notes.txt",
  "train/deep/er/picture.png",
  "train/events.txt",
  "train/plugins/profile/mine/host.xplane.pb",
  "train/plugins/profile/2026_01_02_03_04_05/host.op_stats.pb",
  "train/plugins/other/host.xplane.pb",
  "validation/labels.csv",
  "plan/plan.md",
  "plan/mine.dry_run",
  "plan_b/plan.md",
  f"plan_b/{EVENTS}.1700000000.host.1.1700000000000000000",
  "fit_one/x.txt",
  "fit_01/x.txt",
  "checkpoints/part1.csv",
  "checkpoints/part",
  "checkpoints/part.txt",
  "checkpoints/partial/part.index",
  "checkpoints/ckpt-7.pt",
  "checkpoints/ckpt-7_temp/x",
  "checkpoints/ckpt-007.index",
  "checkpoints/ckpt-0.index",
  "checkpoints/ckpt-٣.index",
  "checkpoints/ckpt-7.index.bak",
  "checkpoints/ckpt-7.data-00001-of-00002",
  "checkpoints/my-ckpt-7.index",
  "checkpoints/checkpoint",
)
# Event files of other writers in the runs' folders, which a fresh run refuses.
WRITERS = (
  f"train/{EVENTS}.1700000000.host.12.34.v2",
  f"train/{EVENTS}.1700000000.host.12.0",
  f"validation/{EVENTS}.1700000000.host.profile-empty",
  f"fit_1/{EVENTS}.1",
  f"plan/{EVENTS}.1700000000.host.1.1700000000000000000.bak",
)


def plant(workdir, paths):
  for path in paths:
    path = pathlib.Path(workdir, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"mine: {path.name}")
  (pathlib.Path(workdir) / "train" / "empty").mkdir(parents=True, exist_ok=True)


def all_stay(workdir, paths):
  for path in paths:
    path = pathlib.Path(workdir, path)
    assert path.read_text() == f"mine: {path.name}", path
  assert (pathlib.Path(workdir) / "train" / "empty").is_dir()


@pytest.fixture(scope="module")
def loop_of():
  """A function: options -> a loop that is made anew, windows of 5."""

  def make(workdir, **options):
    return small.loop(
      workdir=str(workdir),
      schedule=kernels.Constant(0.05),
      compile="graph",
      steps_per_loop=5,
      checkpoint_every="5st",
      **options,
    )

  return make


def stopped(loop, step=1):
  """Leaves a fit behind some step."""
  loop._progress.window = lambda _, now, row: now < step or loop.stop()
  assert loop.fit(small.data(), 2).stop_reason == "preempted"
  return loop.global_step


def test_a_first_run_and_one_that_goes_on_leave_others_files(tmp_path, loop_of):
  plant(tmp_path, THEIRS)
  step = stopped(loop_of(tmp_path))
  all_stay(tmp_path, THEIRS)
  plant(tmp_path, WRITERS)  # a user's own writers, while the run goes on
  loop = loop_of(tmp_path)
  loop.fit(small.data(), 2)
  assert loop.resumed_from == [step]
  all_stay(tmp_path, [*THEIRS, *WRITERS])
  assert loop.evaluate(small.data())["loss"] > 0
  dry_run.write(str(tmp_path), kernels.Constant(0.1), 5)
  all_stay(tmp_path, [*THEIRS, *WRITERS])


def test_overwrite_removes_what_is_the_runs_alone(tmp_path, loop_of):
  stopped(loop_of(tmp_path, profile="0:5"))
  for name in ("result.json", "model.keras", "saved_model/saved_model.pb"):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("old")
  old = {p for p in tmp_path.rglob("*") if p.is_file()}
  assert any(path.name.endswith(".xplane.pb") for path in old)
  plant(tmp_path, [*THEIRS, *WRITERS])
  loop = loop_of(tmp_path, existing="overwrite")
  history = loop.fit(small.data(), 1)
  assert loop.resumed_from == [] and not history.restored
  all_stay(tmp_path, [*THEIRS, *WRITERS])
  again = {path for path in old if path.exists()}
  new = {path for path in again if path.suffix not in (".index", "")}
  assert new <= {tmp_path / "rows.f32", *tmp_path.glob("checkpoints/*")}
  assert (tmp_path / "rows.f32").stat().st_size == 12 * 20


FIRST = (
  "result.json",
  "model.keras",
  "model.weights.h5",
  "rows.f32",
  ".lock",
  "saved_model/saved_model.pb",
  "saved_model/variables/variables.index",
  ".results.part/model.keras",
  "checkpoints/ckpt-7.index",
  "checkpoints/ckpt-7.data-00000-of-00001",
  "checkpoints/part.index",
  "train/plugins/profile/2026_01_02_03_04_05/host.xplane.pb",
  f"train/{EVENTS}.1700000000.host.1.1700000000000000000",
  f"fit_3_from_2/{EVENTS}.1700000000.host.1.1700000000000000000",
  *WRITERS,
)


@pytest.fixture(scope="module")
def one_loop(loop_of, tmp_path_factory):
  """A function: (workdir, existing) -> fits there, with one traced loop."""
  loop = loop_of(tmp_path_factory.mktemp("first"))
  loop.evaluate(small.data())
  state = snapshot.Snapshot(loop.trainee.moved())
  before = state.take()

  def fit(workdir, existing="continue"):
    """As the first fit of a process."""
    state.put_back(before)
    fits = loop._fits
    options = dataclasses.replace(
      fits.host.options, workdir=str(workdir), existing=existing
    )
    fits.host = dataclasses.replace(fits.host, options=options)
    fits.records = fits.schedule = None
    return loop.fit(small.data(), 1)

  return fit


@pytest.mark.parametrize("existing", ["continue", "overwrite", "refuse"])
@pytest.mark.parametrize("name", FIRST)
def test_names_of_a_run_that_are_not_a_runs(name, existing, tmp_path, one_loop):
  plant(tmp_path, [name, "notes.txt"])
  before = sorted(tmp_path.rglob("*"))
  with pytest.raises(ValueError, match="without another program's") as caught:
    one_loop(tmp_path, existing)
  assert name in str(caught.value) and "\n" not in str(caught.value)
  if name != "rows.f32":
    with pytest.raises(ValueError, match="without another program's"):
      dry_run.write(str(tmp_path), kernels.Constant(0.1), 5)
  all_stay(tmp_path, [name, "notes.txt"])
  assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["thesis.tex", "train/cat.png", "a/b/c"])
def test_overwrite_refuses_what_is_no_run(name, tmp_path, one_loop):
  plant(tmp_path, [name])
  before = sorted(tmp_path.rglob("*"))
  match = "`workdir` must be the folder of a run to overwrite, and it holds"
  with pytest.raises(ValueError, match=match) as caught:
    one_loop(tmp_path, "overwrite")
  assert "\n" not in str(caught.value)
  assert sorted(tmp_path.rglob("*")) == before
  all_stay(tmp_path, [name])
  one_loop(tmp_path)
  all_stay(tmp_path, [name])


def test_a_name_that_is_no_text_is_told_in_a_line(tmp_path, one_loop):
  for name in (b"two\nlines\xff", b"\xfe"):
    (tmp_path / os.fsdecode(name)).touch()
  with pytest.raises(
    ValueError, match=r"holds two lines. and 1 more"
  ) as caught:
    one_loop(tmp_path, "overwrite")
  assert "\n" not in str(caught.value) and str(caught.value).encode()


def test_overwrite_may_begin_where_nothing_is(tmp_path, one_loop):
  one_loop(tmp_path / "missing", "overwrite")
  (tmp_path / "planned").mkdir()
  dry_run.write(str(tmp_path / "planned"), kernels.Constant(0.05), 12)
  one_loop(tmp_path / "planned", "overwrite")
  assert not list((tmp_path / "planned" / "plan").glob("*.dry_run"))
  plan = workdirs.scalars(tmp_path / "planned" / "plan")
  assert plan["hyperparameters/learning_rate"][0] == [*range(12)]


def test_a_run_of_a_time_without_marks_is_one(tmp_path, one_loop):
  one_loop(tmp_path)
  (tmp_path / ".lock").write_bytes(b"")
  assert one_loop(tmp_path).restored
  (tmp_path / ".lock").unlink()
  assert not one_loop(tmp_path, "overwrite").restored


def test_checkpoints_of_tensorflow_are_not_a_runs(tmp_path, one_loop):
  manager = tf.train.CheckpointManager(
    tf.train.Checkpoint(a=tf.Variable(1.0)), str(tmp_path / "checkpoints"), 3
  )
  manager.save()
  before = {p: p.read_bytes() for p in (tmp_path / "checkpoints").iterdir()}
  for existing in ("continue", "overwrite"):
    with pytest.raises(ValueError, match="without another program's"):
      one_loop(tmp_path, existing)
  assert {p: p.read_bytes() for p in before} == before


def test_nor_are_they_among_a_runs_own(tmp_path, one_loop):
  one_loop(tmp_path)
  checkpoint = tf.train.Checkpoint(a=tf.Variable(1.0))
  checkpoint.write(str(tmp_path / "checkpoints" / "ckpt-99"))
  before = {p: p.read_bytes() for p in (tmp_path / "checkpoints").iterdir()}
  for existing in ("continue", "overwrite"):
    with pytest.raises(ValueError, match=r"checkpoints \(.*ckpt-99\.index"):
      one_loop(tmp_path, existing)
  assert {p: p.read_bytes() for p in before} == before


def link(path, target):
  path.symlink_to(target)


def pipe(path, target):
  del target
  os.mkfifo(path)


def directory(path, target):
  del target
  (path / "inside").mkdir(parents=True)


def stranger(path, target):
  del target
  path.write_bytes(b"")
  os.chown(path, 12345, -1)


FILES = (
  "rows.f32",
  ".lock",
  "result.json",
  "model.keras",
  ".mended.part",
  ".results.part/model.keras",
  "saved_model/saved_model.pb",
  "checkpoints/ckpt-1.index",
  "checkpoints/part.data-00000-of-00001",
  f"train/{EVENTS}.1700000000.host.1.1700000000000000000",
)


@pytest.mark.parametrize("begun", [False, True], ids=["fresh", "a run"])
@pytest.mark.parametrize("kind", [link, pipe, directory, stranger])
@pytest.mark.parametrize("name", FILES)
def test_what_is_no_file_of_this_user_is_refused(
  name, kind, begun, tmp_path, one_loop
):
  if kind is stranger and os.geteuid():
    pytest.skip("only root gives files away")
  target, path = tmp_path / "target", tmp_path / "run" / name
  target.write_text("mine")
  if begun:
    one_loop(tmp_path / "run")
  path.parent.mkdir(parents=True, exist_ok=True)
  if path.exists():
    path.unlink()
  kind(path, target)
  for existing in ("continue", "overwrite"):
    with pytest.raises(ValueError, match=r"must be (a file|user)") as caught:
      one_loop(tmp_path / "run", existing)
    assert name in str(caught.value) and "\n" not in str(caught.value)
  assert target.read_text() == "mine"
  assert stat.S_IFMT(path.lstat().st_mode) != stat.S_IFREG or kind is stranger
  target.unlink()
  with pytest.raises(ValueError, match=r"must be (a file|user)"):
    one_loop(tmp_path / "run")
  assert not target.exists()


@pytest.mark.parametrize("name", ["rows.f32", ".lock"])
def test_a_file_with_a_second_name_is_not_written(name, tmp_path, loop_of):
  stopped(loop_of(tmp_path / "run"))
  content = (tmp_path / "run" / name).read_bytes()
  (tmp_path / "backup").hardlink_to(tmp_path / "run" / name)
  with pytest.raises(ValueError, match="hard link"):
    loop_of(tmp_path / "run").fit(small.data(), 2)
  assert (tmp_path / "backup").read_bytes() == content


FOLDERS = ("checkpoints", "train", "plan", "fit_1", "saved_model",
           ".results.part", "train/plugins", "train/plugins/profile",
           "saved_model/variables")  # fmt: skip


@pytest.mark.parametrize("begun", [False, True], ids=["fresh", "a run"])
@pytest.mark.parametrize("kind", ["link", "file"])
@pytest.mark.parametrize("name", FOLDERS)
def test_what_is_no_folder_of_this_user_is_refused(
  name, kind, begun, tmp_path, one_loop
):
  outside, path = tmp_path / "outside", tmp_path / "run" / name
  outside.mkdir()
  if begun:
    one_loop(tmp_path / "run")
  path.parent.mkdir(parents=True, exist_ok=True)
  if path.exists():
    path.rename(tmp_path / "was")
  if kind == "link":
    path.symlink_to(outside)
  else:
    path.write_text("mine")
  for existing in ("continue", "overwrite"):
    with pytest.raises(ValueError, match="must be a folder and not") as caught:
      one_loop(tmp_path / "run", existing)
    assert name in str(caught.value) and "\n" not in str(caught.value)
  assert list(outside.iterdir()) == []


def test_the_workdir_itself_may_be_a_link(tmp_path, one_loop):
  (tmp_path / "scratch").mkdir()
  (tmp_path / "run").symlink_to(tmp_path / "scratch")
  one_loop(tmp_path / "run")
  assert one_loop(tmp_path / "run").restored
  assert (tmp_path / "scratch" / "rows.f32").exists()


@pytest.mark.parametrize("name", ["plan", f"plan/{EVENTS}"])
def test_a_dry_run_follows_no_link(name, tmp_path):
  target = tmp_path / "target"
  target.mkdir()
  if name != "plan":
    name = f"plan/{EVENTS}.1700000000.host.1.1700000000000000000.dry_run"
    (tmp_path / "run" / "plan").mkdir(parents=True)
  (tmp_path / "run").mkdir(exist_ok=True)
  (tmp_path / "run" / name).symlink_to(target)
  with pytest.raises(ValueError, match="and not a symbolic link"):
    dry_run.write(str(tmp_path / "run"), kernels.Constant(0.1), 5)
  assert list(target.iterdir()) == []


def test_a_run_with_a_profile_goes_on_and_is_overwritten(tmp_path, loop_of):
  options = {"profile": "3:9"}
  whole = loop_of(tmp_path / "whole", **options)
  whole.fit(small.data(), 2)
  cut = tmp_path / "cut"
  step = stopped(loop_of(cut, **options), 4)
  assert 3 < step < 9
  profile = cut / "train" / "plugins" / "profile"
  (made,) = profile.iterdir()
  # As of an earlier second: TensorFlow's names have no parts of one.
  (first,) = made.rename(profile / "2020_01_02_03_04_05").iterdir()
  content = first.read_bytes()
  loop = loop_of(cut, **options)
  loop.fit(small.data(), 2)
  assert loop.resumed_from == [step]
  assert small.state_of(loop) == small.state_of(whole)
  assert first.read_bytes() == content
  assert (
    workdirs.scalars(cut / "train")["loss"][1].tobytes()
    == whole.history.rows["loss"].tobytes()
  )
  assert loop_of(cut, **options).fit(small.data(), 2).restored
  again = loop_of(cut, existing="overwrite")
  again.fit(small.data(), 1)
  assert not profile.exists() and again.resumed_from == []


@pytest.mark.parametrize("mark", [b"", b"a run of"])
def test_a_run_that_began_on_a_full_disk_is_one(tmp_path, one_loop, mark):
  one_loop(tmp_path)
  for folder in ("checkpoints", "train"):  # events of updates come later
    for path in (tmp_path / folder).iterdir():
      path.unlink()
  (tmp_path / ".lock").write_bytes(mark)
  (tmp_path / "rows.f32").write_bytes(b"")
  assert not one_loop(tmp_path).restored
  assert (tmp_path / ".lock").read_bytes() == b"a run of trainloop\n"
