"""What needs a process of its own: start-up, and memory over a long run.

The processes take turns, as the runners of `measure.py` do.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

from benchmarks.measure import add_ratios, case, summary
from cli.light import strict_json

_CHILD = pathlib.Path(__file__).with_name("child.py")
_STEPS = 1000  # of an epoch
_MOST_ROW_BYTES = 40
_MB = 1 << 20


def ask(what, environment=None, **task):
  """What a child process measures.

  Args:
    what: one of `child.py`'s measurements.
    environment: {variable: value} that the child has besides this process'.
    **task: what it is measured on.

  Returns:
    Its answer, as JSON types.

  Raises:
    RuntimeError: if the child failed.
  """
  task = {"what": what, "began": time.time(), **task}
  done = subprocess.run(
    [sys.executable, str(_CHILD), strict_json.dumps(task)],
    capture_output=True,
    text=True,
    check=False,
    env={**os.environ, **(environment or {})},
  )
  if done.returncode:
    raise RuntimeError(f"{_CHILD.name} {task} failed:\n{done.stderr[-2000:]}")
  return json.loads(done.stdout.splitlines()[-1])


def startup(name, repeats):
  """From the start of a process to its first update.

  Args:
    name: of the model.
    repeats: processes of each kind.

  Returns:
    A list of tables.
  """
  runners = {
    "this loop": "auto",
    "this loop, graph": "graph",
    "this loop, xla": "xla",
    "fit": "fit",
  }
  answers_of = {runner: [] for runner in runners}
  for _ in range(repeats):
    for runner, kind in runners.items():
      answers_of[runner].append(ask("startup", runner=kind, model=name))
  rows = []
  for runner, answers in answers_of.items():
    row = {"runner": runner, "engine": answers[0]["engine"]}
    row |= summary([answer["total"] for answer in answers])
    imports = statistics.median(answer["imports"] for answer in answers)
    rows.append({**row, "imports": round(imports, 3)})
  unit = "s from the start of the process to the first update"
  return [_table("startup", name, unit, rows)]


def steps(name, counts, repeats, seconds, epoch_steps=0):
  """The same loop over fits of several lengths: time and memory.

  Args:
    name: of the model.
    counts: updates of the fits, ints, rounded up to whole epochs.
    repeats: processes for each.
    seconds: a shorter fit is done again until so much time is measured.
    epoch_steps: updates of an epoch; 0 for a thousand.

  Returns:
    A list of tables.
  """
  size = epoch_steps or _STEPS
  answers_of = {-(-count // size) * size: [] for count in counts}
  task = {"model": name, "steps": size, "compile": "auto", "seconds": seconds}
  for _ in range(repeats):
    for count, answers in answers_of.items():
      answers.append(ask("length", updates=count, warm=5 * size, **task))
  rows = [_of_length(*item) for item in answers_of.items()]
  table = _table("steps", name, "us an update", rows)
  last = max(answers_of)
  base = 10_000 if 10_000 in answers_of else min(answers_of)
  if last > base:
    keeps = case(rows, _name(last), _name(base), "<=", 1.05)
    table["cases"] = [keeps, _memory(answers_of, last, base)]
  return [table]


def _of_length(count, answers):
  row = {"runner": _name(count), "engine": answers[0]["engine"]}
  row |= summary([answer["us"] for answer in answers])
  for part in ("growth", "rows"):
    middle = statistics.median(answer[part] for answer in answers)
    row[f"{part}_mb"] = round(middle / _MB, 3)
  row["apart_mb"] = round(row["growth_mb"] - row["rows_mb"], 3)
  return row


def _memory(answers_of, last, base):
  """Whether a longer fit's process grows by no more than the rows."""
  middle = {
    count: statistics.median(answer["growth"] for answer in answers_of[count])
    for count in (last, base)
  }
  each = (middle[last] - middle[base]) / (last - base)
  return {
    "case": f"bytes an update of growth, from {base} to {last}",
    "bytes": round(each, 1),
    "floor": f"<= {_MOST_ROW_BYTES}",
    "reached": "yes" if each <= _MOST_ROW_BYTES else "no",
  }


def _name(count):
  return f"{count} updates"


def _table(mode, name, unit, rows):
  return {
    "mode": mode,
    "model": name,
    "unit": unit,
    "reference": rows[0]["runner"],
    "rows": add_ratios(rows),
  }
