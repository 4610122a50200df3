"""benchmark.py as its users run it: what it says, never how fast it was."""

import csv
import json
import math
import subprocess
import sys

import pytest

from support import commands


def benchmark(*flags, cwd, options=()):
  script = commands.ROOT / "scripts" / "benchmark.py"
  return subprocess.run(
    [sys.executable, *options, str(script), *flags],
    cwd=cwd,
    timeout=400,
    capture_output=True,
    text=True,
    check=False,
  )


def measured(*flags, cwd):
  """The JSON of a run as short as can be."""
  small = ("--seconds=0.001", "--repeats=2", "--steps_per_epoch=4")
  where = ("--only=mlp_64_64_10", "--output=out.json")
  done = benchmark(*small, *where, *flags, cwd=cwd)
  assert done.returncode == 0, done.stderr[-3000:]
  return json.loads((cwd / "out.json").read_text()), done.stdout


def importable(module):
  try:
    __import__(module)
  except ImportError:
    return False
  return True


@pytest.fixture(scope="module")
def short(tmp_path_factory):
  """({mode: its table}, all that was written, what was shown) of one run."""
  flags = ("--compare", "--logging", "--steps", "--step_counts=8")
  found, shown = measured(*flags, cwd=tmp_path_factory.mktemp("short"))
  return {table["mode"]: table for table in found["tables"]}, found, shown


def test_compare(short):
  tables, found, shown = short
  assert set(tables) == {"compare", "logging", "steps"}
  assert found["n"] == 2 and found["machine"]["cpus"] >= 1
  assert {"tensorflow", "keras", "numpy"} <= set(found["versions"])
  assert found["command"]["only"] == "mlp_64_64_10"
  table = tables["compare"]
  assert table["unit"] == "us an update"
  rows = {row["runner"]: row for row in table["rows"]}
  engines = {
    "this loop": "xla",
    "this loop, graph": "graph",
    "this loop, xla": "xla",
    "bare loop, graph": "graph",
    "bare loop, xla": "xla",
    "fit": "graph",
    "fit, lr callback": "graph",
  }
  for name, engine in engines.items():
    row = rows[name]
    assert row["engine"] == engine, name
    assert row["n"] == len(row["times"]) == 2
    assert 0 < row["min"] <= row["median"] <= row["max"]
    assert row["low"] <= row["ratio"] <= row["high"]
  assert rows["this loop"]["ratio"] == 1.0
  assert "steps_per_execution=" in rows["fit, fastest"]["note"]
  peers = {"JAX lax.scan": "jax", "PyTorch": "torch", "Orbit": "orbit"}
  for name, module in peers.items():
    if importable(module):
      assert rows[name]["n"] == 2
    else:
      assert rows[name]["note"] == f"not importable: {module}"
  cases = {one["case"]: one for one in table["cases"]}
  floor = cases["this loop / bare loop, xla"]
  assert floor["floor"] == "<= 1.15"
  assert floor["reached"] in ("yes", "no", "within noise")
  assert all(name in shown for name in rows)


def all_ran(tables, modes):
  """Whether there is a table of each mode, and each row ran or says why."""
  assert {table["mode"] for table in tables} == set(modes)
  for table in tables:
    for row in table["rows"]:
      assert row.get("n") == 2 or "refused" in row["note"], row


def test_logging(short):
  table = short[0]["logging"]
  all_ran([table], ["logging"])
  assert [row["runner"] for row in table["rows"]] == [
    "no workdir",
    "log_every=1",
    "log_every=100",
  ]
  assert [one["floor"] for one in table["cases"]] == ["<= 1.35", "<= 1.05"]


def test_a_length_in_a_process_of_its_own(short):
  (row,) = short[0]["steps"]["rows"]
  assert row["runner"] == "8 updates" and row["engine"] == "xla"
  assert row["n"] == 2 and row["median"] > 0 and row["rows_mb"] == 0.0


ZOO_COLUMNS = {"runner", "case", "unit", "median", "ratio", "times", "n"}


def zoo(cwd, *flags):
  """{unit: its lines} of the CSV of a run of the least model, and the text."""
  small = ("--zoo", "--only=mlp_small", "--seconds=0.001", "--output=out.csv")
  done = benchmark(*small, *flags, cwd=cwd)
  assert done.returncode == 0, done.stderr[-3000:]
  units = {}
  with open(cwd / "out.csv", encoding="utf-8", newline="") as file:
    for line in csv.DictReader(file):
      assert set(line) >= ZOO_COLUMNS and line["model"] == "mlp_small"
      units.setdefault(line["unit"], []).append(line)
  for lines in units.values():
    check_zoo(lines)
  return units, done.stdout


def check_zoo(lines):
  """Three runners, then their case, whose ratio is of their medians."""
  *rows, case = lines
  assert [row["runner"] for row in rows] == [
    "this loop",
    "fit",
    "fit, an epoch a call",
  ]
  ours, *fits = (float(row["median"]) for row in rows)
  assert all(0 < value < math.inf for value in (ours, *fits))
  for row in rows:
    assert len(row["times"].split()) == int(row["n"])
  assert math.isclose(float(case["ratio"]), ours / min(fits), rel_tol=0.01)


def test_zoo(tmp_path):
  units, shown = zoo(tmp_path, "--parts=steady", "--repeats=2")
  assert list(units) == ["us an update", "us of processor time an update"]
  assert all(row["n"] == "2" for row in units["us an update"][:3])
  heading, last = shown.splitlines()[-2:]
  assert heading.split() == ["model", "steady", "processor"]
  assert last.startswith("mlp_small")


@pytest.mark.long
def test_zoo_in_processes(tmp_path):
  units, _ = zoo(tmp_path, "--parts=start,memory", "--repeats=1")
  assert list(units) == [
    "s to the first report, cold cache",
    "s to the last update, cold cache",
    "s to the first report, warm cache",
    "s to the last update, warm cache",
    "MB at the peak",
  ]


@pytest.mark.long
def test_the_other_modes(tmp_path):
  modes = ("validation", "short_epochs", "dispatch", "streamed", "refit")
  found, _ = measured(*(f"--{mode}" for mode in modes), cwd=tmp_path)
  all_ran(found["tables"], modes)
  windows = [t for t in found["tables"] if t["mode"] == "dispatch"]
  assert [len(table["cases"]) for table in windows] == [3, 3]


@pytest.mark.long
def test_engines_startup_and_lengths(tmp_path):
  flags = ("--engines", "--startup", "--steps", "--step_counts=8,16")
  found, _ = measured(*flags, cwd=tmp_path)
  engines, steps, startup = found["tables"]
  assert engines["rows"][-1]["runner"] == "auto: xla"
  names = [row["runner"] for row in steps["rows"]]
  assert names == ["8 updates", "16 updates"]
  time, memory = steps["cases"]
  assert time["case"] == "16 updates / 8 updates"
  assert memory["floor"] == "<= 40"
  for row in startup["rows"]:
    assert 0 < row["imports"] < row["median"]
  assert startup["rows"][-1]["runner"] == "fit"


BAD = [
  ([], "one of --compare"),
  (["--compare", "--seconds=0"], "seconds=0"),
  (["--steps", "--step_counts=10,0"], "step_counts=10,0"),
  (["--zoo", "--parts=speed"], "parts=speed"),
  (["--zoo", "--parts="], "--parts must name"),
]


@pytest.mark.parametrize(
  ("flags", "says"), BAD, ids=[" ".join(c[0]) for c in BAD]
)
def test_bad_flags_are_refused_before_tensorflow(tmp_path, flags, says):
  done = benchmark(*flags, cwd=tmp_path, options=["-X", "importtime"])
  assert done.returncode == 2 and " tensorflow" not in done.stderr
  (line,) = commands.error_lines(done)
  assert says in line
