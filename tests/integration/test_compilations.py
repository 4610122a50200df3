"""XLA compiles a window once, whatever its data, place and length are.

TensorFlow's count of traces does not see it: an argument that XLA takes for a
compile-time constant compiles the window again for each value.
"""

import os
import subprocess
import sys

import pytest

from support import commands

KINDS = {"resident": 0, "staged": 0, "dataset": 0, "sweep": 1}  # a window each


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_compiled_twice(kind, tmp_path):
  flags = f"--xla_dump_to={tmp_path} --xla_dump_hlo_as_text"
  env = {**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": commands.PATHS}
  done = subprocess.run(
    [sys.executable, commands.PROCESSES / "compilations.py", kind],
    capture_output=True,
    text=True,
    env=env,
    check=False,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  warm, after = map(int, done.stdout.split()[-2:])
  assert after - warm == KINDS[kind], "compiled again"
