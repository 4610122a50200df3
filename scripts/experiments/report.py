"""The results of an experiment: JSON that grows by a run, Markdown, PNG."""

import dataclasses
import datetime
import json
import os
import platform
import statistics
import time

import tensorflow as tf

from cli.light import strict_json
from kernels import checks
from trainloop.display import figures
from trainloop.workdir import run_files


def read(path, name, experiment, quick):
  """The report at `path`, or a new one without runs.

  Raises:
    ArgumentError: if a file stands where the report goes that is none.
  """
  report = {
    "experiment": name,
    "title": experiment.title,
    "published": experiment.published,
    "remark": experiment.remark,
    "figure": experiment.figure,
    "quick": quick,
    "runs": {},
  }
  exists = os.path.lexists(path)
  if exists:
    report["runs"] = _runs(path, name)
  for kind in (".md", ".png"):
    beside = path.removesuffix(".json") + kind
    if os.path.lexists(beside) and not exists:
      _refuse(beside)
  return report


def _runs(path, name):
  """The runs in the report of an experiment."""
  run_files.check(path)
  try:
    with open(path, encoding="utf-8") as file:
      report = json.load(file)
    if report["experiment"] == name and isinstance(report["runs"], dict):
      return report["runs"]
  except (ValueError, LookupError, TypeError):
    pass
  return _refuse(path)


def _refuse(path):
  checks.fail("output", path, "a folder without other files of that name")


def run(experiment, seed, folder, quick):
  """One seed's entry: measures, curves, notes, time, machine and date."""
  began = time.monotonic()
  outcome = experiment.run(seed, folder, quick)
  return {
    **strict_json.nulls(dataclasses.asdict(outcome)),
    "seconds": round(time.monotonic() - began, 1),
    "date": datetime.date.today().isoformat(),
    "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    "tensorflow": tf.__version__,
  }


def markdown(report):
  """The table of published against measured figures."""
  runs = report["runs"].values()
  lines = [
    f"### {report['experiment']}: {report['title']}",
    "",
    "| measure | published | measured, mean | spread | each | n |",
    "|---|---|---|---|---|---|",
  ]
  names = dict.fromkeys(name for one in runs for name in one["measures"])
  for name in names:
    values = [one["measures"][name] for one in runs]
    finite = [value for value in values if value is not None]
    published = report["published"].get(name)
    several = len(finite) > 1
    spread = statistics.stdev(finite) if several else None
    mean = statistics.mean(finite) if finite else None
    each = ", ".join(map(_figure, values))
    cells = (name, _figure(published), _figure(mean),
             _figure(spread), each, len(values))  # fmt: skip
    lines.append("| " + " | ".join(map(str, cells)) + " |")
  seconds = sum(one["seconds"] for one in runs)
  places = {f"{r['machine']}, TensorFlow {r['tensorflow']}" for r in runs}
  dates = sorted({one["date"] for one in runs})
  facts = f"{', '.join(sorted(places))}; {' to '.join(dates)}"
  lines += ["", f"Spread: standard deviation. {facts}; {seconds:.0f} s in all."]
  if report["remark"]:
    remark = report["remark"]
    lines.append(f"{remark[0].upper()}{remark[1:]}.")
  if report["quick"]:
    lines.append("A quick run on a part of the data: no measurement.")
  return "\n".join(lines) + "\n"


def _figure(value):
  return "-" if value is None else f"{value:.4g}"


def write_json(path, report):
  """Writes the JSON, whole or not at all."""
  with (
    run_files.made(path) as part,
    open(part, "w", encoding="utf-8") as file,
  ):
    file.write(strict_json.dumps(report, indent=1))
    file.write("\n")


def write(path, report, text):
  """Writes JSON, Markdown and PNG beside each other."""
  write_json(path, report)
  base = path.removesuffix(".json")
  with (
    run_files.made(base + ".md") as part,
    open(part, "w", encoding="utf-8") as file,
  ):
    file.write(text)
  with run_files.made(base + ".png") as part:
    _draw(part, report)


def _draw(path, report):
  """A line a seed; of a range test the first seed's sweeps."""
  runs = report["runs"]
  if report["figure"]:
    lines = {
      f"seed {seed}": run["curves"][report["figure"]]
      for seed, run in runs.items()
    }
    figures.save_lines(path, lines, "epoch", report["figure"])
    return
  curves = next(iter(runs.values()))["curves"]
  names = [key.removesuffix(" loss") for key in curves if key.endswith(" loss")]
  panels = {
    label: {
      name: (curves[f"{name} learning_rate"], curves[f"{name} {what}"])
      for name in names
    }
    for label, what in (("loss", "loss"), ("loss change", "loss_change"))
  }
  figures.save_panels(path, panels, "learning rate", "log")
