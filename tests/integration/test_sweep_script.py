"""sweep.py as its users run it."""

import subprocess
import sys

import pytest

from support import commands


def sweep(*flags, cwd):
  return commands.forked(*flags, cwd=cwd, script="sweep.py")


def imported(*flags, cwd):
  """The script in a process of its own, which lists what it imports."""
  script = commands.ROOT / "scripts" / "sweep.py"
  return subprocess.run(
    [sys.executable, "-X", "importtime", str(script), *flags],
    cwd=cwd,
    timeout=60,
    capture_output=True,
    text=True,
    check=False,
  )


def test_two_optimizers_compared(tmp_path):
  pytest.importorskip("matplotlib")
  done = sweep(
    "--compare=sgd,adam", "--steps=2ep", "--workdir=out", cwd=tmp_path
  )
  assert done.returncode == 0, done.stderr[-2000:]
  lines = done.stdout.splitlines()
  head = next(line for line in lines if "valley" in line).split()
  assert head[:5] == ["updates", "valley", "slide", "steep", "minimum"]
  rows = {line.split()[0]: line.split() for line in lines if line.strip()}
  assert {"sgd", "adam"} <= set(rows)
  assert all(float(rate) > 0 for rate in rows["sgd"][2:])
  names = sorted(path.name for path in (tmp_path / "out").iterdir())
  assert names == ["adam", "sgd", "sweep.csv", "sweep.png"]


def test_a_sweep_follows_no_link(tmp_path):
  (tmp_path / "out").mkdir()
  (tmp_path / "mine.csv").write_text("mine")
  (tmp_path / "out" / "sweep.csv").symlink_to(tmp_path / "mine.csv")
  done = sweep("--steps=2ep", "--workdir=out", cwd=tmp_path)
  (line,) = commands.error_lines(done)
  assert done.returncode == 2 and "a file and not a symbolic link" in line
  assert "valley" not in done.stdout  # before the sweep
  assert (tmp_path / "mine.csv").read_text() == "mine"
  assert [path.name for path in (tmp_path / "out").iterdir()] == ["sweep.csv"]


BAD = [
  (["--min_lr=0"], "min_lr=0"),
  (["--min_lr=2", "--max_lr=1"], "--max_lr must be above --min_lr=2.0"),
  (["--steps=100"], "steps=100"),
  (["--divergence=0.5"], "--divergence must be 0 or > 1"),
  (["--compare=sgd,none"], "compare=sgd,none"),
  (["--compare=sgd", "--optimizer=adam"], "--optimizer has no effect"),
  (["--on=test"], "on=test"),
  (["--smoothing=1"], "smoothing=1"),
  (["--dataset=csv"], "--dataset=csv needs --data_path"),
]


@pytest.mark.parametrize(
  ("flags", "names"), BAD, ids=[" ".join(c[0]) for c in BAD]
)
def test_bad_flags_are_refused_before_tensorflow(tmp_path, flags, names):
  done = imported(*flags, cwd=tmp_path)
  assert done.returncode == 2 and " tensorflow" not in done.stderr
  (line,) = commands.error_lines(done)
  assert names in line and "Traceback" not in done.stderr
  assert not list(tmp_path.iterdir())
