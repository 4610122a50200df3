"""A full disk or a closed pipe behind a script's output ends no run."""

import json
import os
import subprocess
import sys

import pytest

from support import commands

FLAGS = ("--epochs=2", "--hidden=8", "--batch_size=128", "--seed=3")


def train(cwd, name, **streams):
  """A run, and its result; in a fork where no stream is said."""
  flags = (*FLAGS, f"--workdir={name}")
  if not streams:
    done = commands.forked(*flags, cwd=cwd)
  else:
    script = str(commands.ROOT / "scripts" / "train.py")
    command = [sys.executable, script, *flags]
    done = subprocess.run(
      command, cwd=cwd, text=True, timeout=240, check=False, **streams
    )
  found = json.loads((cwd / name / "result.json").read_text())
  del found["seconds"], found["steps_per_second"]
  return done, found


@pytest.fixture
def full():
  with open("/dev/full", "w", encoding="utf-8") as stream:
    yield stream


@pytest.fixture
def nobody():
  """A pipe that nobody reads."""
  read, write = os.pipe()
  os.close(read)
  yield write
  os.close(write)


def test_the_result_is_the_same(tmp_path, full, nobody):
  _, whole = train(tmp_path, "whole")
  done, found = train(tmp_path, "a", stdout=full, stderr=subprocess.PIPE)
  assert (done.returncode, found) == (0, whole)
  assert done.stderr.splitlines() == [
    "warning: standard output can't be written (No space left on device): "
    "what it would show is lost"
  ]
  done, found = train(tmp_path, "b", stdout=nobody, stderr=full)
  assert (done.returncode, found) == (0, whole)


def test_an_error_keeps_its_code(full):
  done = commands.ROOT / "scripts" / "train.py"
  command = [sys.executable, str(done), "--epochs=0"]
  assert subprocess.run(command, stderr=full, check=False).returncode == 2


@pytest.mark.parametrize("stream", ["full", "nobody"])
def test_the_lines_of_workers_are_lost_and_the_workers_are_not(request, stream):
  """Who relays their lines reads on, or a full pipe would hold them."""
  code = "print('x' * 70 + '\\n' * (task + 1), end='', flush=True)\n"
  done = subprocess.run(
    commands.workers(f"for _ in range(9999): {code}sys.exit(task)"),
    stdout=request.getfixturevalue(stream),
    stderr=subprocess.PIPE,
    text=True,
    timeout=120,
    check=False,
  )
  assert done.returncode == 1
  assert done.stderr.count("standard output can't be written") == 1
