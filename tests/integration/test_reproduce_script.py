"""reproduce.py: every experiment runs, and its files say what was measured."""

import json
import statistics
import subprocess
import sys

import pytest

import reproduce
from experiments import registry
from experiments import report as reproduce_report
from support import commands

FILES = {"imdb": "imdb.npz", "ionosphere": "ionosphere.csv"}


def run(*flags, cwd):
  return commands.forked(*flags, cwd=cwd, script="reproduce.py")


def quick(name, folder, tmp_path, seeds=1):
  done = run(
    f"--experiment={name}",
    f"--data_dir={folder}",
    "--quick",
    f"--seeds={seeds}",
    "--output=out",
    cwd=tmp_path,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  path = tmp_path / "out" / f"{name}_quick.json"
  report = json.loads(path.read_text())
  table = path.with_suffix(".md").read_text()
  assert table in done.stdout
  png = path.with_suffix(".png").read_bytes()
  assert png.startswith(b"\x89PNG") and len(png) > 5_000
  return done, report, table


def test_names_are_known_without_tensorflow():
  assert set(reproduce.NAMES) == set(registry.EXPERIMENTS)
  for one in registry.EXPERIMENTS.values():
    assert one.published and one.seeds >= 3 and one.title


@pytest.mark.parametrize("kind", ["json", "md", "png", "link", "folder"])
def test_files_of_others_are_not_written_over(kind, tmp_path):
  name = "ionosphere_step_drop"
  path = tmp_path / f"{name}.json"
  mine = path if kind in ("json", "link") else path.with_suffix(f".{kind}")
  if kind == "folder":
    mine = path
    path.mkdir()
  elif kind == "link":
    path.symlink_to(tmp_path / "elsewhere")
  else:
    mine.write_text('{"runs": "mine"}')
  one = registry.EXPERIMENTS[name]
  with pytest.raises(
    ValueError, match=r"`(output|path)` must be a f"
  ) as caught:
    reproduce_report.read(str(path), name, one, quick=True)
  assert "\n" not in str(caught.value)
  assert list(tmp_path.iterdir()) == [mine]
  if mine.is_file():
    assert mine.read_text() == '{"runs": "mine"}'


def test_a_report_is_read_back_and_replaced(tmp_path):
  name = "ionosphere_step_drop"
  path = str(tmp_path / f"{name}.json")
  one = registry.EXPERIMENTS[name]
  report = reproduce_report.read(path, name, one, quick=True)
  assert report["runs"] == {}
  for seed in ("0", "1"):
    report["runs"][seed] = {}
    reproduce_report.write_json(path, report)
    found = reproduce_report.read(path, name, one, quick=True)
    assert found["runs"] == report["runs"]
  assert [path.name for path in tmp_path.iterdir()] == [f"{name}.json"]


def test_published_beside_measured(data_file, tmp_path):
  pytest.importorskip("matplotlib")
  folder = data_file("ionosphere.csv").removesuffix("/ionosphere.csv")
  name = "ionosphere_step_drop"
  _, report, table = quick(name, folder, tmp_path, seeds=2)
  values = [
    run["measures"]["val acc %, last"] for run in report["runs"].values()
  ]
  assert len(values) == 2 and report["quick"]
  mean = f"{statistics.mean(values):.4g}"
  cells = table.splitlines()[4].strip("| ").split(" | ")
  assert cells[:3] == ["val acc %, last", "99.14", mean] and cells[-1] == "2"
  assert "no measurement" in table
  # Seeds that are there are not run again.
  done, again, _ = quick(name, folder, tmp_path, seeds=3)
  assert "seed 2" in done.stdout and "seed 1\n" not in done.stdout
  assert again["runs"]["0"] == report["runs"]["0"] and len(again["runs"]) == 3


@pytest.mark.long
@pytest.mark.parametrize("name", reproduce.NAMES)
def test_every_experiment_runs(data_file, tmp_path, name):
  pytest.importorskip("matplotlib")
  path = data_file(FILES.get(name.split("_")[0], "mnist.npz"))
  _, report, _ = quick(name, path.rpartition("/")[0], tmp_path)
  experiment = registry.EXPERIMENTS[name]
  measures = report["runs"]["0"]["measures"]
  assert set(experiment.published) <= set(measures)


def test_what_is_not_there(tmp_path):
  done = run("--experiment=none", cwd=tmp_path)
  assert done.returncode == 2
  done = run("--experiment=all", "--data_dir=missing", cwd=tmp_path)
  assert done.returncode == 2
  (line,) = commands.error_lines(done)
  assert "--data_dir=missing is not a folder" in line
  empty = tmp_path / "empty"
  empty.mkdir()
  done = run("--experiment=imdb_autofit", f"--data_dir={empty}", cwd=tmp_path)
  assert done.returncode == 1 and "Traceback" not in done.stderr


@pytest.mark.long
def test_averages_are_compared_seed_by_seed(tmp_path):
  script = commands.ROOT / "scripts" / "experiments" / "averages.py"
  flags = ["--seeds=2", "--epochs=3", "--output=found/it"]
  done = subprocess.run(
    [sys.executable, str(script), *flags],
    cwd=tmp_path,
    capture_output=True,
    text=True,
    check=True,
  )
  table = (tmp_path / "found" / "it.md").read_text()
  assert table in done.stdout
  assert [line.count("|") for line in table.splitlines()] == [7] * 9
  rows = (tmp_path / "found" / "it.csv").read_text().splitlines()[1:]
  accuracies = [float(row.split(",")[3]) for row in rows]
  assert len(accuracies) == 14 and min(accuracies) > 50
  assert (tmp_path / "found" / "it.png").stat().st_size > 1000
