"""Runs the scripts as a user does: real processes, from another folder."""

import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PROCESSES = ROOT / "tests" / "support" / "processes"
LAUNCH = str(ROOT / "scripts" / "launch_workers.py")
# What a process of PROCESSES needs to import.
PATHS = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
_INDEX = """import json, os, sys, time
task = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
"""


def train(*flags, cwd, timeout=240, options=()):
  """Runs train.py to its end; returns the finished process."""
  return subprocess.run(
    [sys.executable, *options, str(ROOT / "scripts" / "train.py"), *flags],
    cwd=cwd,
    timeout=timeout,
    capture_output=True,
    text=True,
    check=False,
  )


@functools.cache
def _forks():
  """The process that `forked` asks; it ends with this one's pipe."""
  return subprocess.Popen(
    [sys.executable, str(PROCESSES / "forks.py")],
    env={**os.environ, "PYTHONPATH": PATHS},
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )


def forked(*flags, cwd, script="train.py"):
  """What `train` does, in a fork of a process that has TensorFlow imported.

  For what a script does behind its imports: each costs seconds less.
  """
  with tempfile.TemporaryDirectory() as folder:
    out, err = (os.path.join(folder, name) for name in ("out", "err"))
    command = [script, flags, str(cwd), out, err]
    forks = _forks()
    forks.stdin.write(json.dumps(command) + "\n")
    forks.stdin.flush()
    code = int(forks.stdout.readline())
    said = [pathlib.Path(path).read_text() for path in (out, err)]
  return subprocess.CompletedProcess(command, code, *said)


def start(*flags, cwd, stdout=subprocess.DEVNULL):
  """Starts train.py, without its output or with a pipe of it."""
  return subprocess.Popen(
    [sys.executable, str(ROOT / "scripts" / "train.py"), *flags],
    cwd=cwd,
    stdout=stdout,
    stderr=subprocess.DEVNULL,
    env=dict(os.environ),
    text=True,
  )


def error_lines(process):
  """What a process said on standard error, without TensorFlow's own lines."""
  lines = process.stderr.splitlines()
  return [line for line in lines if line.startswith("error: ")]


def workers(code, *flags):
  """launch_workers.py with flags and some Python, which knows its `task`."""
  command = [sys.executable, LAUNCH, *flags, "--", sys.executable, "-c"]
  return [*command, _INDEX + code]
