"""--average: the option that each of its values means."""

import os
import subprocess
import sys

from support import commands

_PROGRAM = """
import sys
from absl import flags
from cli import average_flag, flag_rules
average_flag.define()
flag_rules.parse(sys.argv[:1])
print([average_flag.make()])
for value in sys.argv[1:]:
  flags.FLAGS.average = value
  print(average_flag.make())
"""


def test_what_its_values_mean():
  means = {
    "ema": "EMA(decay=0.999, warmup=True)",
    "ema:0.9": "EMA(decay=0.9, warmup=True)",
    "ema:.99": "EMA(decay=0.99, warmup=True)",
    "ema:0": "EMA(decay=0.0, warmup=True)",
    "ema:1e-3": "EMA(decay=0.001, warmup=True)",
    "cycle": "CycleAverage(recompute=None)",
    "cycle:statistics": "CycleAverage(recompute='statistics')",
    "schedule_free": "ScheduleFree(beta=0.9)",
    "schedule_free:0.95": "ScheduleFree(beta=0.95)",
  }
  done = subprocess.run(
    [sys.executable, "-c", _PROGRAM, *means],
    cwd=commands.ROOT / "scripts",
    env={**os.environ, "PYTHONPATH": str(commands.ROOT)},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.splitlines() == ["[None]", *means.values()]
