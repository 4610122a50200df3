"""SIGTERM, SIGINT and SIGHUP: real signals to the real scripts."""

import json
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from support import commands, workdirs
from support.processes import signals

FLAGS = (
  "--epochs=120",
  "--hidden=16",
  "--batch_size=64",
  "--early_stopping=99",
)


def start(folder, name, *flags):
  process = commands.start(*FLAGS, *flags, f"--workdir={name}", cwd=folder)
  rows = folder / name / "rows.f32"
  while not rows.exists() or not rows.stat().st_size:
    assert process.poll() is None
    time.sleep(0.02)
  return process


def result(folder, name):
  found = json.loads((folder / name / "result.json").read_text())
  return {
    k: v
    for k, v in found.items()
    if k not in ("seconds", "steps_per_second", "resumed_from")
  }


# The only checkpoints on the way: the first, and the signal's.
SELDOM = ("--checkpoint_every=119ep",)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """The folder of a run, in `b`, that no signal reached."""
  folder = tmp_path_factory.mktemp("whole")
  done = commands.forked(*FLAGS, *SELDOM, "--workdir=b", cwd=folder)
  assert done.returncode == 0, done.stderr[-2000:]
  return folder


@pytest.mark.parametrize(
  ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_it_saves_where_it_is_and_goes_on(tmp_path, whole, number, code):
  with commands.start(
    *FLAGS, *SELDOM, "--workdir=a", cwd=tmp_path, stdout=subprocess.PIPE
  ) as process:
    for line in process.stdout:
      if line.startswith("epoch "):
        break
    process.send_signal(number)
    assert process.wait(timeout=20) == code
  assert not list(tmp_path.rglob("part*"))
  again = commands.forked(*FLAGS, *SELDOM, "--workdir=a", cwd=tmp_path)
  assert again.returncode == 0, again.stderr[-2000:]
  assert result(tmp_path, "a") == result(whole, "b")
  assert workdirs.series(tmp_path / "a") == workdirs.series(whole / "b")
  (step,) = json.loads((tmp_path / "a" / "result.json").read_text())[
    "resumed_from"
  ]
  assert step > 0


def test_the_second_one_exits_now(tmp_path):
  process = start(tmp_path, "a")
  process.send_signal(signal.SIGSTOP)  # both are there before it runs on
  process.send_signal(signal.SIGINT)
  process.send_signal(signal.SIGTERM)
  process.send_signal(signal.SIGCONT)
  # Whichever it hears first, the other ends it.
  assert process.wait(timeout=20) in (130, 143)
  again = commands.forked(*FLAGS, "--workdir=a", cwd=tmp_path)
  assert again.returncode == 0, again.stderr[-2000:]


# Runs a script that gets a signal when it imports a module.
IMPORTING = """
import os, runpy, sys

script, module, number, *sys.argv[1:] = sys.argv[1:]

class Sender:
  def find_spec(self, name, path=None, target=None):
    if name == module:
      sys.meta_path.remove(self)
      os.kill(os.getpid(), int(number))

sys.meta_path.insert(0, Sender())
sys.argv[0] = script
sys.path.insert(0, os.path.dirname(script))
runpy.run_path(script, run_name="__main__")
"""


@pytest.mark.parametrize(
  ("script", "module", "number"),
  [
    ("train.py", "absl", signal.SIGINT),
    ("train.py", "tensorflow", signal.SIGTERM),
    ("sweep.py", "numpy", signal.SIGHUP),
    ("sweep.py", "keras", signal.SIGINT),
    ("plot_run.py", "tensorflow", signal.SIGTERM),
    ("reproduce.py", "tensorflow", signal.SIGHUP),
    ("benchmark.py", "keras", signal.SIGTERM),
    ("benchmarks/saves.py", "absl", signal.SIGTERM),
    ("launch_workers.py", "absl", signal.SIGTERM),
  ],
)
def test_a_signal_while_it_imports_is_one_line(
  script, module, number, tmp_path
):
  flags = {
    "plot_run.py": [f"--workdir={tmp_path}"],
    "reproduce.py": ["--experiment=mnist_sgdr", f"--data_dir={tmp_path}"],
    "benchmark.py": ["--compare"],
  }
  path = str(commands.ROOT / "scripts" / script)
  ended = subprocess.run(
    [sys.executable, "-c", IMPORTING, path, module, str(int(number)),
     *flags.get(script, [])],
    cwd=tmp_path,
    capture_output=True,
    text=True,
    timeout=60,
    check=False,
  )  # fmt: skip
  (line,) = ended.stderr.splitlines()
  assert line.startswith(f"error: stopped by {number.name}")
  assert ended.returncode == 128 + number
  assert not list(tmp_path.iterdir())


def test_one_before_and_after_the_fit_leaves_nothing_half_made(tmp_path):
  done = subprocess.run(
    [sys.executable, signals.__file__, str(tmp_path)],
    capture_output=True,
    text=True,
    timeout=240,
    env={**commands.os.environ, "PYTHONPATH": commands.PATHS},
    check=True,
  )
  ends = json.loads(done.stdout.splitlines()[-1])
  assert set(ends) == set(signals.PLACES)
  for place, (code, left, again) in ends.items():
    number = signals.PLACES[place]
    said = pathlib.Path(tmp_path, f"{place}.first").read_text()
    *_, line = said.splitlines()
    assert code == 128 + number, (place, said)
    by = "a signal" if place == "last window" else number.name
    assert line.startswith(f"error: stopped by {by}"), said
    assert line.endswith("; the same command goes on"), said
    assert "Traceback" not in said or place == "lost", said
    assert not {".results.part", "result.json", "model.keras"} & set(left)
    assert again in (None, 0), (tmp_path / f"{place}.log").read_text()
  assert result(tmp_path, "export") == result(tmp_path, "last window")
