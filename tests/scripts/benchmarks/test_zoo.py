"""The zoo's tables out of what its child processes answer."""

import csv
import io

import numpy as np
import pytest

from benchmarks import measure, processes, report, zoo, zoo_models

OPTIONS = measure.Options(seconds=0.1, repeats=2, patience=1.0)


def row(runner, times, processor_times=(3.0, 3.0)):
  times = {**measure.summary(times), "processor_times": list(processor_times)}
  return {"runner": runner, "engine": "graph", "note": "", **times}


def steady_rows():
  return [
    row("this loop", [3.0, 5.0], [2.0, 2.0]),
    row("fit", [10.0, 10.0], [4.0, 4.0]),
    row("fit, an epoch a call", [8.0, 8.0], [5.0, 5.0]),
    row("fit, jit_compile", [1.0, 1.0], [1.0, 1.0]),
  ]


class Children:
  """In place of child processes: answers, and what was asked.

  `seconds`: of a process of each kind, by whether the cache is cold or warm;
  `broken`: kinds whose process fails.
  """

  def __init__(self, seconds=None, broken=()):
    self.seconds, self.broken = seconds or {}, broken
    self.folders, self.cases = [], []

  def __call__(self, what, environment=None, **task):
    self.cases.append((what, task))
    if what == "zoo_steady":
      if "steady" in self.broken:
        raise RuntimeError("child.py failed:\nTraceback\nOSError: no memory")
      return steady_rows()
    kind = task["kind"]
    if kind in self.broken:
      raise RuntimeError(f"child.py failed:\nTraceback\nOSError: no {kind}")
    flags = environment["TF_XLA_FLAGS"]
    cache = "warm" if flags in self.folders else "cold"
    self.folders.append(flags)
    seconds = self.seconds[kind, cache]
    return {
      "engine": "graph",
      "updates": 200,
      "total": seconds,
      "processor": seconds,
      "first": seconds / 2,
      "first_updates": 16,
      "peak": (1 + len(kind)) << 20,
    }


def measured(monkeypatch, children, **options):
  """{unit: table} of a zoo that asks `children`."""
  monkeypatch.setattr(zoo, "ask", children)
  tables = zoo.tables("mlp_small", OPTIONS, **options)
  assert {table["model"] for table in tables} == {"mlp_small"}
  return {table["unit"]: table for table in tables}


SECONDS = {
  ("loop", "cold"): 12.0,
  ("loop", "warm"): 5.0,
  ("fit", "cold"): 10.0,
  ("fit", "warm"): 9.0,
  ("fit_epoch", "cold"): 11.0,
  ("fit_epoch", "warm"): 4.0,
}


def test_the_reference_is_the_better_fit_of_each_measure(monkeypatch):
  tables = measured(monkeypatch, Children(), parts=["steady"], jit=True)
  wall, processor = tables[zoo.STEADY], tables[zoo.PROCESSOR]
  assert wall["reference"] == "fit, an epoch a call"
  assert processor["reference"] == "fit"
  ratios = {one["runner"]: one["ratio"] for one in wall["rows"]}
  assert ratios == {
    "this loop": 0.5,
    "fit": 1.25,
    "fit, an epoch a call": 1.0,
    "fit, jit_compile": 0.125,
  }
  (case,) = wall["cases"]
  assert case["ratio"] == 0.5 and case["reached"] == "yes"
  assert case["low"] == 0.375 and case["high"] == 0.625
  (case,) = processor["cases"]
  assert case["ratio"] == 0.5 and case["reached"] == ""


def test_one_folder_serves_a_cold_process_and_a_warm_one(monkeypatch):
  children = Children(SECONDS)
  tables = measured(monkeypatch, children, parts=["start", "memory"])
  folders = children.folders
  assert len(folders) == 12 and len(set(folders)) == 6
  assert folders[::2] == folders[1::2]
  assert {table["rows"][0]["n"] for table in tables.values()} == {2}
  reached = {
    unit: (table["cases"][0]["ratio"], table["cases"][0]["reached"])
    for unit, table in tables.items()
  }
  assert reached == {
    "s to the first report, cold cache": (1.2, ""),
    "s to the last update, cold cache": (1.2, "no"),
    "s to the first report, warm cache": (1.25, ""),
    "s to the last update, warm cache": (1.25, "no"),
    "MB at the peak": (1.25, "yes"),
  }
  first = tables["s to the last update, cold cache"]["rows"][0]
  assert first["to"] == 200 and first["first_to"] == 16
  (overview,) = zoo.overview(list(tables.values()))
  assert overview["updates, warm"] == "1.25 [1.25, 1.25]"
  assert overview["memory"] == "1.25 [1.25, 1.25]"


def test_memory_alone_takes_no_warm_process(monkeypatch):
  children = Children(SECONDS)
  tables = measured(monkeypatch, children, parts=["memory"])
  assert list(tables) == [zoo.PEAK]
  assert len(children.cases) == len(set(children.folders)) == 6


def test_a_runner_that_fails_leaves_the_others_their_rows(monkeypatch):
  children = Children(SECONDS, broken=("steady", "fit"))
  tables = measured(monkeypatch, children)
  for one in tables[zoo.STEADY]["rows"]:
    assert one["note"] == "failed: OSError: no memory"
  assert tables[zoo.STEADY]["cases"] == []
  table = tables["s to the last update, cold cache"]
  loop, fit, fit_epoch = table["rows"]
  assert fit["note"] == "failed: OSError: no fit" and "times" not in fit
  assert loop["median"] == 12.0 and fit_epoch["median"] == 11.0
  assert table["reference"] == "fit, an epoch a call"
  (overview,) = zoo.overview(list(tables.values()))
  assert overview["steady"] == "-" and overview["updates, cold"][:4] == "1.09"


def test_csv_holds_every_row_and_every_case(monkeypatch):
  tables = measured(monkeypatch, Children(), parts=["steady"])
  text = report.csv_text(list(tables.values()))
  lines = list(csv.DictReader(io.StringIO(text)))
  assert len(lines) == 2 * (4 + 1)
  assert lines[0]["runner"] == "this loop" and lines[0]["times"] == "3.0 5.0"
  assert float(lines[0]["ratio"]) == 0.5 and lines[0]["unit"] == zoo.STEADY
  assert lines[4]["case"] == "this loop / fit, an epoch a call"
  assert lines[4]["floor"] == "<= 1" and lines[4]["reached"] == "yes"


def leaves(x):
  return x if isinstance(x, list) else [x]


@pytest.mark.parametrize("name", zoo_models.MODELS)
def test_data_are_whole_batches_of_a_fixed_seed(name):
  task, again = zoo_models.task(name), zoo_models.task(name)
  assert len(task.y) == task.steps * task.batch_size
  assert task.updates % task.steps == 0 and task.updates > 0
  for one, other in zip(leaves(task.x), leaves(again.x), strict=True):
    assert len(one) == len(task.y) and one.dtype in (np.float32, np.int32)
    np.testing.assert_array_equal(one, other)
  np.testing.assert_array_equal(task.y, again.y)


def test_the_next_word_is_the_target():
  task = zoo_models.task("language_model")
  np.testing.assert_array_equal(task.x[:, 1:], task.y[:, :-1])


SMALL = ("autoencoder", "conv1d_text", "embedding_bag", "mlp_small", "lstm")


@pytest.mark.parametrize("name", SMALL)
def test_the_data_fit_the_model(name):
  task = zoo_models.task(name)
  outputs = task.make()(task.x[:2])
  assert np.isfinite(outputs).all() and len(outputs) == 2


def test_a_started_process_tells_of_its_first_report_and_its_peak():
  answer = processes.ask("zoo_start", model="mlp_small", kind="loop", updates=0)
  assert answer["engine"] == "xla" and answer["updates"] == 200
  assert 0 < answer["first"] <= answer["total"]
  assert 0 < answer["first_updates"] <= 200
  assert answer["processor"] > 0 and answer["peak"] > 100 << 20
