"""The real script, killed 20 times: nothing is lost, nothing is double."""

import json
import random
import subprocess
import sys

import pytest

from kills import points
from support import commands


def test_the_named_points_are_there():
  for point, (owner, name, *_) in points.named().items():
    assert callable(getattr(owner, name, None)), point


def test_twenty_kills(tmp_path):
  seed = random.randrange(10**6)
  script = commands.ROOT / "scripts" / "chaos.py"
  done = subprocess.run(
    [
      sys.executable,
      str(script),
      "--kills=20",
      f"--seed={seed}",
      "--json=tally.json",
    ],
    cwd=tmp_path,
    env={**commands.os.environ, "TMPDIR": str(tmp_path)},
    timeout=900,
    capture_output=True,
    text=True,
    check=False,
  )
  told = f"seed {seed}: {done.stdout[-2000:]} {done.stderr[-2000:]}"
  assert done.returncode == 0, told
  tally = json.loads((tmp_path / "tally.json").read_text())
  assert tally["kills"] == 20 and tally["equal"] == tally["runs"], told
  assert tally["inside a save"] >= 6, told
  assert tally["rows lost or doubled"] == tally["orphan files"] == 0, told
  counts = tally["at named points"]
  assert set(counts) == set(points.NAMES) and min(counts.values()), told


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.long)])
def test_a_killed_fine_tuning_of_moving_values(tmp_path, kills):
  seed = random.randrange(10**6)
  program = commands.PROCESSES / "tuned.py"
  done = subprocess.run(
    [sys.executable, str(program), str(tmp_path), str(kills), str(seed)],
    env={**commands.os.environ, "PYTHONPATH": commands.PATHS},
    timeout=900,
    capture_output=True,
    text=True,
    check=False,
  )
  told = f"seed {seed}: {done.stdout[-2000:]} {done.stderr[-2000:]}"
  assert done.returncode == 0, told
  tally = json.loads(done.stdout)
  assert tally["differ"] == tally["orphans"] == [], told
  assert sum(tally["kills"].values()) == kills, told
  assert min(tally["kills"].values()) >= 1, told
  assert tally["reasons"] == ["completed", "early_stopping"], told
