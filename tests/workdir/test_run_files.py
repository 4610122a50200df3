"""Files of a workdir: made whole, behind no link, and removed by name."""

import os

import numpy as np
import pytest

import trainloop
from support import small
from training import export
from trainloop.sweep import report
from trainloop.workdir import run_files, run_names

RESULTS = ("result.json", "model.keras", "model.weights.h5", "saved_model")


@pytest.fixture(scope="module")
def model():
  return small.model()


def make(workdir, name, model):
  """Makes a result as the scripts do."""
  if name in ("result.json", "model.weights.h5"):
    with (
      run_files.result(str(workdir), name) as part,
      open(part, "w", encoding="utf-8") as file,
    ):
      file.write("ours")
    return
  kind = "saved_model" if name == "saved_model" else "keras"
  export.write(str(workdir), model, kind)


@pytest.mark.parametrize("where", ["result", "part"])
@pytest.mark.parametrize("kind", ["link", "broken link", "pipe", "other"])
@pytest.mark.parametrize("name", RESULTS)
def test_a_result_follows_no_link(name, kind, where, tmp_path, model):
  target = tmp_path / "target"
  target.mkdir() if name == "saved_model" else target.write_text("mine")
  path = tmp_path / "run" / (name if where == "result" else ".results.part")
  path.parent.mkdir()
  if kind == "pipe":
    os.mkfifo(path)
  elif kind == "other" and (name == "saved_model" or where == "part"):
    path.write_text("mine")
  elif kind == "other":
    path.mkdir()
  else:
    path.symlink_to(target if kind == "link" else tmp_path / "nowhere")
  before = path.lstat()
  with pytest.raises(
    ValueError, match=r"must be a (file|folder) and"
  ) as caught:
    make(tmp_path / "run", name, model)
  assert str(path) in str(caught.value) and "\n" not in str(caught.value)
  assert os.path.samestat(before, path.lstat())
  assert not (tmp_path / "nowhere").exists()
  assert list((tmp_path / "run").iterdir()) == [path]
  if target.is_file():
    assert target.read_text() == "mine"
  else:
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("name", RESULTS)
def test_what_could_not_be_made_is_known_before(name, tmp_path):
  (tmp_path / name).symlink_to(tmp_path / "elsewhere")
  if name == "result.json":
    with pytest.raises(ValueError, match="a symbolic link"):
      run_files.check_result(str(tmp_path), name)
    return
  with pytest.raises(ValueError, match="a symbolic link"):
    export.check(str(tmp_path), "both")


def test_a_saved_model_takes_no_place_of_a_users_file(tmp_path, model):
  assert export.write(str(tmp_path), model, "both") == [
    "model.keras",
    "saved_model",
  ]
  export.write(str(tmp_path), model, "both")  # its own is replaced
  (tmp_path / "saved_model" / "notes.txt").write_text("mine")
  before = sorted(tmp_path.rglob("*"))
  for call in (
    lambda: export.check(str(tmp_path), "saved_model"),
    lambda: export.write(str(tmp_path), model, "saved_model"),
  ):
    with pytest.raises(ValueError, match="elsewhere than in saved_model"):
      call()
  export.check(str(tmp_path), "keras")
  assert sorted(tmp_path.rglob("*")) == before
  run_files.remove_all(str(tmp_path))
  left = sorted(path for path in tmp_path.rglob("*") if path.is_file())
  assert left == [tmp_path / "saved_model" / "notes.txt"]


def test_what_a_kill_left_of_a_result_goes(tmp_path, model):
  part = tmp_path / ".results.part"
  (part / "saved_model" / "variables").mkdir(parents=True)
  (part / "saved_model" / "variables" / "variables.index").write_text("torn")
  (part / "model.keras").write_text("torn")
  make(tmp_path, "result.json", model)
  assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
  (part / "mine").mkdir(parents=True)
  with pytest.raises(ValueError, match=r"elsewhere than in \.results\.part"):
    make(tmp_path, "result.json", model)
  assert (part / "mine").is_dir()


def test_a_result_that_fails_leaves_what_was(tmp_path):
  (tmp_path / "result.json").write_text("old")
  with (
    pytest.raises(OSError, match="full"),
    run_files.result(str(tmp_path), "result.json") as part,
  ):
    with open(part, "w", encoding="utf-8") as file:
      file.write("half")
    raise OSError("full")
  assert (tmp_path / "result.json").read_text() == "old"
  assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_files_are_new_or_opened_where_they_are(tmp_path):
  path = str(tmp_path / "file")
  file = run_files.opened(path, new=True)
  os.write(file, b"0123456789")
  os.close(file)
  with pytest.raises(FileExistsError):
    run_files.make(path)
  run_files.cut(path, 4)
  file = run_files.opened(path)
  assert os.read(file, 9) == b"0123"
  os.close(file)
  os.link(path, path + "2")
  for call in (run_files.opened, lambda one: run_files.cut(one, 0)):
    with pytest.raises(ValueError, match="hard link"):
      call(path)
  assert (tmp_path / "file2").read_bytes() == b"0123"
  run_files.remove(path)
  run_files.remove(path)
  assert (tmp_path / "file2").read_bytes() == b"0123"


def test_a_disk_that_maps_users_is_no_stranger(monkeypatch, tmp_path):
  if os.geteuid():
    pytest.skip("only root gives files away")
  run_files.make(str(tmp_path / "file"))
  os.chown(tmp_path / "file", 4321, -1)
  with pytest.raises(ValueError, match="user 0's and not user 4321's"):
    run_files.check(str(tmp_path / "file"))
  monkeypatch.setattr(run_files, "_own_uid", lambda folder: 4321)
  run_files.check(str(tmp_path / "file"))


def sweep():
  ones = np.linspace(0.1, 1, 30)
  return trainloop.Sweep(
    name="sgd",
    learning_rates=ones,
    losses=ones,
    steps=30,
    diverged=False,
    smoothing=0.9,
  )


@pytest.mark.parametrize("name", ["sweep.csv", "sweep.png", "sgd"])
@pytest.mark.parametrize("kind", ["link", "theirs"])
def test_a_sweep_writes_over_nothing_of_others(name, kind, tmp_path):
  target = tmp_path / "target"
  target.mkdir()
  path = tmp_path / "run" / name
  path.parent.mkdir()
  if kind == "link":
    path.symlink_to(target / "file" if "." in name else target)
  else:
    path.write_text("learning_rate,mine\n")
  with pytest.raises(ValueError, match=name) as caught:
    sweep().save(str(tmp_path / "run"))
  assert "\n" not in str(caught.value)
  assert list(target.iterdir()) == [] and list(path.parent.iterdir()) == [path]
  assert kind == "link" or path.read_text() == "learning_rate,mine\n"


def test_a_sweep_replaces_its_own_files_and_leaves_others(tmp_path):
  pytest.importorskip("matplotlib")
  for path in ("sgd/notes.txt", "adam/notes.txt", "mine.csv"):
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text("mine")
  for _ in range(2):
    sweep().save(str(tmp_path))
  assert (tmp_path / "sweep.png").read_bytes()[:4] == b"\x89PNG"
  for path in ("sgd/notes.txt", "adam/notes.txt", "mine.csv"):
    assert (tmp_path / path).read_text() == "mine"
  head = (tmp_path / "sweep.csv").read_text().splitlines()[0]
  assert head == report._HEAD
  names = sorted(path.name for path in tmp_path.iterdir())
  assert names == ["adam", "mine.csv", "sgd", "sweep.csv", "sweep.png"]


def test_a_sweep_is_no_run(tmp_path):
  with pytest.raises(ValueError, match="`name` must be another than that of"):
    report.check(str(tmp_path), ["sgd", "train"])
  assert [name for name in ("train", "fit_2") if run_names.is_run(name)]
