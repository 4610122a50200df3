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


def test_an_average_of_one_cycle_or_none_is_refused(tmp_path):
  for value, schedule, count in (
    ("cycle", "one_cycle", 1),
    ("cycle:statistics", "constant", 0),
  ):
    flags = (f"--average={value}", f"--schedule={schedule}", "--workdir=run")
    done = commands.train(*flags, cwd=tmp_path)
    assert done.returncode == 2
    (line,) = commands.error_lines(done)
    assert line == (
      f"error: --average={value} has no effect: {count} cycles of --schedule="
      f"{schedule} end within the run's 880 steps; take --schedule=sgdr with a "
      "shorter --cycle_len, or --average=ema"
    )
    assert not (tmp_path / "run").exists()
