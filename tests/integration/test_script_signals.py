"""SIGTERM and SIGINT: real signals to the real script."""

import json
import signal
import subprocess
import time

import pytest

from support import commands, workdirs

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


@pytest.mark.parametrize(
  ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_it_saves_where_it_is_and_goes_on(tmp_path, number, code):
  # The only checkpoints on the way: the first, and the signal's.
  flags = ("--checkpoint_every=119ep",)
  with commands.start(
    *FLAGS, *flags, "--workdir=a", cwd=tmp_path, stdout=subprocess.PIPE
  ) as process:
    for line in process.stdout:
      if line.startswith("epoch "):
        break
    process.send_signal(number)
    assert process.wait(timeout=20) == code
  assert not list(tmp_path.rglob("part*"))
  again = commands.train(*FLAGS, *flags, "--workdir=a", cwd=tmp_path)
  assert again.returncode == 0, again.stderr[-2000:]
  whole = commands.train(*FLAGS, *flags, "--workdir=b", cwd=tmp_path)
  assert whole.returncode == 0, whole.stderr[-2000:]
  assert result(tmp_path, "a") == result(tmp_path, "b")
  assert workdirs.series(tmp_path / "a") == workdirs.series(tmp_path / "b")
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
  again = commands.train(*FLAGS, "--workdir=a", cwd=tmp_path)
  assert again.returncode == 0, again.stderr[-2000:]
