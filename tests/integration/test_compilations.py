"""XLA compiles a window once, whatever its data, place and length are.

TensorFlow's count of traces does not see it: an argument that XLA takes for a
compile-time constant compiles the window again for each value.
"""

import os
import subprocess
import sys

import pytest

from support import commands

KINDS = ["resident", "staged", "dataset", "sweep", "schedules", "graph"]


@pytest.fixture(scope="module")
def counts(tmp_path_factory):
  """{kind: (programs after a warm-up, after the same or other runs)}."""
  folder = tmp_path_factory.mktemp("programs")
  flags = f"--xla_dump_to={folder} --xla_dump_hlo_as_text"
  env = {**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": commands.PATHS}
  done = subprocess.run(
    [sys.executable, commands.PROCESSES / "compilations.py"],
    capture_output=True,
    text=True,
    env=env,
    check=False,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  lines = [line.split() for line in done.stdout.splitlines()]
  return {line[0]: tuple(map(int, line[1:])) for line in lines[-len(KINDS) :]}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_compiled_twice(counts, kind):
  warm, after = counts[kind]
  assert after == warm, "compiled again"
