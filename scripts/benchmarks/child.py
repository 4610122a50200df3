"""One measurement in a process of its own; `processes.py` starts it.

  python scripts/benchmarks/child.py '{"what": "startup", "runner": "fit", ...}'

The last line of standard output is what it measured, as JSON.
"""

import gc
import json
import sys
import time

import parent  # noqa: F401

from cli import verbosity
from cli.light import output, strict_json

_STATUS = "/proc/self/status"


def startup(case):
  """Seconds from the start of the process to its first update.

  Args:
    case: {"began": wall time, "runner": "fit", or a `compile` of this loop,
      "model": name}.

  Returns:
    {"engine", "total", "imports"}: to the first update, and of imports alone.
  """
  with verbosity.startup():
    if case["runner"] == "fit":
      import keras  # noqa: F401
      import tensorflow  # noqa: F401
    else:
      import trainloop  # noqa: F401
  imported = time.time()
  from benchmarks import models

  task = models.task(case["model"], steps=1)
  runner = _runner(case["runner"], task)
  runner.run(1)
  return {
    "engine": runner.engine,
    "total": time.time() - case["began"],
    "imports": imported - case["began"],
  }


def _runner(name, task):
  from benchmarks import runners

  if name == "fit":
    return runners.Fit(task)
  return runners.Loop(task, name)


def length(case):
  """Time of an update and growth of the memory in one fit of some length.

  Args:
    case: {"model": name, "steps": updates of an epoch, "updates": of the
      timed fit, "warm": of those before it, "seconds": a shorter fit is done
      again until so much time is measured, "compile": see `TrainLoop`}.

  Returns:
    {"engine", "us", "growth", "rows"}: microseconds an update; bytes that
    the process grew by, and those of the rows among them.
  """
  with verbosity.startup():
    from benchmarks import models, runners

  task = models.task(case["model"], case["steps"])
  runner = runners.Loop(task, case["compile"])
  for _ in range(3):  # compiles, and finds the windows' length
    runner.run(case["warm"])
  gc.collect()
  before, took, fits = resident(), _fit(runner, case["updates"]), 1
  growth = resident() - before
  while took < case["seconds"]:
    took, fits = took + _fit(runner, case["updates"]), fits + 1
  return {
    "engine": runner.engine,
    "us": 1e6 * took / (fits * case["updates"]),
    "growth": growth,
    "rows": runner.row_bytes,
  }


def _fit(runner, updates):
  """Seconds of a fit."""
  began = time.perf_counter()
  runner.run(updates)
  return time.perf_counter() - began


def resident():
  """Bytes of memory that this process has in RAM now."""
  with open(_STATUS, encoding="utf-8") as file:
    (line,) = [line for line in file if line.startswith("VmRSS:")]
  return 1024 * int(line.split()[1])


if __name__ == "__main__":
  case = json.loads(sys.argv[1])
  measure = {"startup": startup, "length": length}[case["what"]]
  output.line(strict_json.dumps(measure(case)))
