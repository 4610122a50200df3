"""One measurement in a process of its own; `processes.py` starts it.

  python scripts/benchmarks/child.py '{"what": "startup", "runner": "fit", ...}'

The last line of standard output is what it measured, as JSON.
"""

import functools
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
  if name == "fit":
    from benchmarks import keras_runners

    return keras_runners.Fit(task)
  from benchmarks import runners

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


def zoo_steady(case):
  """Rows of `measure`: the ways to train a model of the zoo take turns.

  Args:
    case: {"model": name, "kinds": {runner: a kind of `zoo_runners`},
      "seconds", "repeats", "patience": see `measure.Options`}.
  """
  with verbosity.startup():
    import trainloop  # noqa: F401
  from benchmarks import measure, zoo_models, zoo_runners

  task = zoo_models.task(case["model"])
  makers = {
    runner: functools.partial(zoo_runners.make, kind, task)
    for runner, kind in case["kinds"].items()
  }
  fields = (case[name] for name in ("seconds", "repeats", "patience"))
  return measure.measure(makers, measure.Options(*fields))


def zoo_start(case):
  """From the start of the process to some updates of a model of the zoo.

  Args:
    case: {"began": wall time, "model": name, "kind": see `zoo_runners`,
      "updates": in whole epochs, rounded up; 0: as many as suit the model}.

  Returns:
    {"engine", "updates"}, and {"total", "processor"} seconds; {"first"}:
    seconds until the fit was first heard of, after {"first_updates"};
    {"peak"}: the most bytes that the process had in RAM.
  """
  with verbosity.startup():
    if case["kind"] == "loop":
      import trainloop  # noqa: F401
    else:
      import keras  # noqa: F401
  from benchmarks import zoo_models, zoo_runners

  task = zoo_models.task(case["model"])
  runner = zoo_runners.make(case["kind"], task, hears=True)
  updates = case["updates"] or task.updates
  updates = -(-updates // task.steps) * task.steps
  runner.run(updates)
  return {
    "engine": runner.engine,
    "updates": updates,
    "total": time.time() - case["began"],
    "processor": time.process_time(),
    "first": runner.report.time - case["began"],
    "first_updates": runner.report.updates,
    "peak": _memory("VmHWM"),  # ru_maxrss may be that of the parent
  }


def resident():
  """Bytes of memory that this process has in RAM now."""
  return _memory("VmRSS")


def _memory(field):
  """Bytes that a field of the process' status gives."""
  with open(_STATUS, encoding="utf-8") as file:
    (line,) = [line for line in file if line.startswith(f"{field}:")]
  return 1024 * int(line.split()[1])


if __name__ == "__main__":
  case = json.loads(sys.argv[1])
  measurements = {
    "startup": startup,
    "length": length,
    "zoo_start": zoo_start,
    "zoo_steady": zoo_steady,
  }
  output.line(strict_json.dumps(measurements[case["what"]](case)))
