"""From a clone to a chart of your own data: three commands, an empty place."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

import plot_run
from support import commands
from trainloop.workdir.tensorboard import event_reader

ROOT = commands.ROOT
COMMANDS = (
  "git clone -q {origin} trainloop",
  "bash trainloop/scripts/train.sh --dataset={kind} --data_path=mine.{kind}"
  " --workdir=run",
  "trainloop/.venv/bin/python trainloop/scripts/plot_run.py --workdir=run",
)


def blobs():
  """240 rows of four numbers around one of two centers, and which one."""
  rng = np.random.default_rng(0)
  label = rng.integers(0, 2, 240)
  return rng.normal(label[:, None] * 1.5, 1.0, (240, 4)).round(4), label


def write_data(folder, kind):
  x, y = blobs()
  if kind == "npz":
    np.savez(folder / "mine.npz", x_train=x, y_train=y)
    return
  with open(folder / "mine.csv", "w", encoding="utf-8", newline="") as file:
    table = csv.writer(file)
    table.writerow(["a", "b", "c", "d", "color", "kind"])
    for n, (row, label) in enumerate(zip(x, y, strict=True)):
      row = [*row[:3], row[3] if n % 7 else "", ("red", 'a "blue"')[n % 2]]
      table.writerow([*row, ("on the left", "on the right")[label]])


def stand_in(clone):
  """This Python in place of the .venv that takes a minute to install."""
  binary = clone / ".venv" / "bin" / "python"
  binary.parent.mkdir(parents=True)
  binary.write_text(
    f'#!/bin/sh\nPYTHONPATH="{clone}" exec "{sys.executable}" "$@"\n'
  )
  binary.chmod(0o755)
  text = (clone / "pyproject.toml").read_bytes()
  done = subprocess.run(["cksum"], input=text, capture_output=True, check=True)
  stamp = f"{done.stdout.decode().strip()} {clone}\n"
  (clone / ".venv" / ".installed-examples").write_text(stamp)


@pytest.mark.parametrize(
  "kind", ["csv", pytest.param("npz", marks=pytest.mark.long)]
)
def test_from_a_clone_to_a_chart(kind, tmp_path):
  pytest.importorskip("matplotlib")
  if not (ROOT / ".git").exists():
    pytest.skip("this checkout is no git repository")
  write_data(tmp_path, kind)
  for command in COMMANDS:
    done = subprocess.run(
      command.format(origin=ROOT, kind=kind).split(),
      cwd=tmp_path,
      capture_output=True,
      text=True,
      timeout=240,
      check=False,
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr[-2000:])
    if command is COMMANDS[0]:
      stand_in(tmp_path / "trainloop")
  assert done.stdout.splitlines()[-1] == "wrote run.png"
  png = (tmp_path / "run.png").read_bytes()
  assert png.startswith(b"\x89PNG") and len(png) > 30_000
  result = json.loads((tmp_path / "run" / "result.json").read_text())
  assert result["metrics"]["accuracy"] > 0.85
  check_panels(plot_run.panels(event_reader.scalars(tmp_path / "run")), result)


def check_panels(drawn, result):
  """What the chart holds is the run, every update of it."""
  steps, epochs = result["steps"], result["epochs"]
  assert list(drawn) == ["learning rate", "momentum", "loss", "accuracy"]
  for name in ("learning rate", "momentum"):
    plan, used = drawn[name].values()
    assert used[0].tolist() == list(range(steps))
    assert plan[1].tobytes() == used[1].tobytes()
  assert len(drawn["loss"]["an update"][0]) == steps
  for name in ("loss", "accuracy"):
    for part in ("train", "validation"):
      assert len(drawn[name][part][0]) == epochs
  last = drawn["accuracy"]["validation"][1][-1]
  assert last == pytest.approx(result["metrics"]["accuracy"])
