"""run_hashes.py: the same code gives the same table, another run another."""

import importlib
import subprocess
import sys

import numpy as np
import pytest

from experiments import hashed_runs
from support import commands

SCRIPT = commands.ROOT / "scripts" / "experiments" / "run_hashes.py"
QUICK = ("sgd_graph", "dataset")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def tables(folder):
  """{which: {run: its hashes}}: twice with one seed, once with another."""
  return {
    which: {
      name: hashed_runs.hashes(name, folder / which, seed) for name in QUICK
    }
    for which, seed in (("first", 0), ("second", 0), ("other seed", 1))
  }


@pytest.mark.parametrize("name", QUICK)
def test_the_same_code_gives_the_same_hashes(tables, name):
  assert tables["first"][name] == tables["second"][name]


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("column", [0, 1, 2])
def test_another_seed_gives_other_hashes(tables, name, column):
  one, other = tables["first"][name], tables["other seed"][name]
  assert one[column] != other[column]


def test_the_judged_run_is_cut_and_stopped(tmp_path):
  loop, history = hashed_runs.train("judged_graph", tmp_path / "run", 0)
  assert history.stop_reason == "early_stopping"
  assert loop.best["step"] < loop.global_step < hashed_runs.STEPS
  peaks = history.rows["learning_rate"][::9]
  assert peaks[0] == np.float32(0.5) and peaks[-1] < peaks[0]


def test_every_run_has_options(monkeypatch):
  monkeypatch.syspath_prepend(SCRIPT.parent)
  run_hashes = importlib.import_module("run_hashes")
  for name in run_hashes.NAMES:
    assert hashed_runs.options_of(name)["compile"] in ("graph", "xla")


def test_points_leave_out_text_and_the_clock(tables, folder):
  assert set(tables["first"]) == set(QUICK)
  points = hashed_runs.points(folder / "first" / "sgd_graph")
  tags = {tag for _, tag, _, _ in points}
  assert {"loss", "hyperparameters/learning_rate", "grad_norm"} <= tags
  assert not [tag for tag in tags if tag.startswith(("speed/", "_hparams_"))]
  losses = [p for p in points if p[:2] == ("train", "loss")]
  assert [step for _, _, step, _ in losses] == list(range(hashed_runs.STEPS))


def test_the_table_of_the_command(tables, tmp_path):
  path = tmp_path / "table.csv"
  done = subprocess.run(
    [sys.executable, SCRIPT, "--runs=sgd_graph", f"--output={path}"],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  line = ",".join(["sgd_graph", *tables["first"]["sgd_graph"]])
  assert path.read_text() == f"run,weights,rows,event points\n{line}\n"
  assert done.stdout == path.read_text()


def test_code_that_is_not_there(tmp_path):
  done = subprocess.run(
    [sys.executable, SCRIPT, "--runs=sgd_xla", f"--code={tmp_path}"],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 2
  assert done.stderr == f"error: --code={tmp_path} has no package kernels\n"
