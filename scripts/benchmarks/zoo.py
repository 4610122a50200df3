"""The zoo: this loop beside Keras' fit on models that people train.

Every figure comes from a child process, so that a model that fails leaves the
others their rows. Steady updates take turns in one child; the time from a
process' start to some updates, and its peak memory, are of a child each.
"""

import os
import tempfile

from benchmarks.measure import case, ratio, summary
from benchmarks.processes import ask

PARTS = ("steady", "start", "memory")
OURS, _FITS = "this loop", ("fit", "fit, an epoch a call")
RUNNERS = {OURS: "loop", _FITS[0]: "fit", _FITS[1]: "fit_epoch"}
JIT = {"fit, jit_compile": "fit_jit"}  # for information: it is no reference
# TensorFlow's cache of what XLA compiled, empty at first: fit has the same.
_FLAGS, _CACHE = "TF_XLA_FLAGS", "--tf_xla_persistent_cache_directory"
# {what is measured: what this loop may take of the better fit's}.
STEADY, PROCESSOR = "us an update", "us of processor time an update"
FIRST, UPDATES = "s to the first report", "s to the last update"
PEAK = "MB at the peak"
_LIMITS = {
  STEADY: 1.0,
  f"{UPDATES}, cold cache": 1.15,
  f"{UPDATES}, warm cache": 1.0,
  PEAK: 1.3,
}
_CACHES = ("cold", "warm")
_MB = 1 << 20


def tables(name, options, parts=PARTS, updates=0, jit=False):
  """The tables of one model.

  Args:
    name: a key of `zoo_models.MODELS`.
    options: a `measure.Options`; `repeats` also counts processes.
    parts: some of `PARTS`.
    updates: that a process is started for, 0 for as many as suit the model.
    jit: whether `fit` with `jit_compile=True` takes part.

  Returns:
    A list of what a `Report` takes, ratios to the better of fit's settings;
    a part that failed is a table with one row that says why.
  """
  kinds = {**RUNNERS, **(JIT if jit else {})}
  made = []
  if "steady" in parts:
    made += _steady(name, kinds, options)
  if "start" in parts or "memory" in parts:
    made += _started(name, kinds, options.repeats, parts, updates)
  return made


def _steady(name, kinds, options):
  """Steady updates: the runners take turns in one child."""
  try:
    rows = ask(
      "zoo_steady",
      model=name,
      kinds=kinds,
      seconds=options.seconds,
      repeats=options.repeats,
      patience=options.patience,
    )
  except RuntimeError as error:
    rows = [{"runner": runner, "note": _reason(error)} for runner in kinds]
  return [
    compared(name, STEADY, [_without_processor(row) for row in rows]),
    compared(name, PROCESSOR, [_processor(row) for row in rows]),
  ]


def _without_processor(row):
  return {k: v for k, v in row.items() if not k.startswith("processor")}


def _processor(row):
  """A row of `measure` with processor time in place of time."""
  kept = {k: v for k, v in row.items() if k in ("runner", "engine", "note")}
  times = row.get("processor_times")
  return {**kept, **(summary(times) if times else {})}


def _started(name, kinds, repeats, parts, updates):
  """Processes of each runner: the cache is empty for the first of two."""
  caches = _CACHES if "start" in parts else _CACHES[:1]
  answers = {(kind, cache): [] for kind in kinds.values() for cache in caches}
  notes = {}
  order = list(kinds.values())
  for i in range(repeats):
    shift = i % len(order)
    for kind in order[shift:] + order[:shift]:
      task = {"model": name, "kind": kind, "updates": updates}
      try:
        for cache, answer in _pair(task, caches):
          answers[kind, cache].append(answer)
      except RuntimeError as error:
        notes[kind] = _reason(error)

  def table(unit, cache, value):
    rows = [
      {
        "runner": runner,
        **_row(answers[kind, cache], value),
        "note": notes.get(kind, ""),
      }
      for runner, kind in kinds.items()
    ]
    return compared(name, unit, rows)

  made = []
  if "start" in parts:
    for cache in caches:
      made += [
        table(f"{FIRST}, {cache} cache", cache, lambda one: one["first"]),
        table(f"{UPDATES}, {cache} cache", cache, lambda one: one["total"]),
      ]
  if "memory" in parts:
    made.append(table(PEAK, _CACHES[0], lambda one: one["peak"] / _MB))
  return made


def _pair(task, caches):
  """(cache, answer) of one process after the other, with one folder."""
  with tempfile.TemporaryDirectory() as folder:
    flags = f"{os.environ.get(_FLAGS, '')} {_CACHE}={folder}".strip()
    for cache in caches:
      yield cache, ask("zoo_start", {_FLAGS: flags}, **task)


def _row(answers, value):
  """What some processes of a runner gave."""
  if not answers:
    return {}
  first = answers[0]
  return {
    "engine": first["engine"],
    **summary([value(answer) for answer in answers]),
    "to": first["updates"],
    "first_to": first["first_updates"],
  }


def _reason(error):
  """The last line of an error's text, as of a traceback."""
  return f"failed: {str(error).strip().splitlines()[-1]}"


def compared(name, unit, rows):
  """A table of one measure, with this loop over the better of fit's settings.

  Args:
    name: of the model.
    unit: what is measured; with a limit on it, whether that is reached.
    rows: of `RUNNERS` and `JIT`, as `measure` gives them.

  Returns:
    What a `Report` takes. Ratios are to the better of fit's settings; where
    none ran, there are none.
  """
  better = better_fit(rows)
  made = {
    "mode": "zoo",
    "model": name,
    "unit": unit,
    "reference": better or "none",
    "rows": rows,
    "cases": [],
  }
  if better is None:
    return made
  base = next(row["times"] for row in rows if row["runner"] == better)
  for row in rows:
    if row.get("times"):
      row.update(ratio(row["times"], base))
  one = case(rows, OURS, better, "<=", _LIMITS.get(unit, 1.0))
  if one and unit not in _LIMITS:
    one.update(floor="", reached="")
  made["cases"] = [one] if one else []
  return made


def better_fit(rows):
  """The setting of `fit` with the least median, of those without a compiler of
  its own; None where none ran."""
  medians = {row["runner"]: row.get("median") for row in rows}
  ran = [one for one in _FITS if medians.get(one) is not None]
  return min(ran, key=medians.get, default=None)


def overview(tables):
  """A row a model: this loop over the better fit, each measure a column.

  Args:
    tables: those of several models.

  Returns:
    Rows for `report.show`.
  """
  rows = {}
  for table in tables:
    row = rows.setdefault(table["model"], {"model": table["model"]})
    row[_short(table["unit"])] = _interval(table["cases"])
  return list(rows.values())


def _short(unit):
  """A column's name."""
  names = {STEADY: "steady", PROCESSOR: "processor", PEAK: "memory"}
  for long, short in ((FIRST, "first"), (UPDATES, "updates")):
    unit = unit.replace(long, short)
  return names.get(unit, unit.removesuffix(" cache"))


def _interval(cases):
  """A ratio with its interval, "-" where there is none."""
  if not cases:
    return "-"
  (one,) = cases
  text = f"{one['ratio']:.2f}"
  if one["low"] is not None:
    text += f" [{one['low']:.2f}, {one['high']:.2f}]"
  return text
