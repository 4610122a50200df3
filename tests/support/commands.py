"""Runs the scripts as a user does: real processes, from another folder."""

import os
import pathlib
import subprocess
import sys

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
