"""What a benchmark prints, and the JSON it writes."""

import csv
import datetime
import importlib.metadata
import io
import os
import platform

from absl import flags

from cli.light import output, strict_json

_LIBRARIES = ("tensorflow", "keras", "numpy", "trainloop-tf")
_PEERS = ("jax", "torch", "tf-models-official")
# Columns that a table shows, where a row has them; the rest is in the JSON.
_HIDDEN = ("times", "processor_times", "low", "high", "updates", "n")
# Of a CSV file: what a table and one of its rows, or of its cases, hold.
_COLUMNS = (
  "mode", "model", "unit", "reference", "runner", "case", "engine", "n",
  "median", "min", "max", "processor", "ratio", "low", "high", "floor",
  "reached", "updates", "to", "first_s", "first_to", "times", "note",
)  # fmt: skip


def machine():
  """What the times depend on, as JSON types."""
  return {
    "cpu": _cpu(),
    "cpus": _cpus(),
    "system": platform.platform(),
    "python": platform.python_version(),
    "load": [round(one, 2) for one in os.getloadavg()],
  }


def versions():
  """{library: version}, the peers only where they are installed."""
  installed = {}
  for name in (*_LIBRARIES, *_PEERS):
    try:
      installed[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      continue
  return installed


def _cpus():
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count()


def _cpu():
  try:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
      lines = [line for line in file if line.startswith("model name")]
    return lines[0].partition(":")[2].strip()
  except (OSError, IndexError):
    return platform.processor()


class Report:
  """Prints tables as they come, and keeps a file up to date.

  Args:
    path: the file, or None; a name that ends in .csv has a line a row, any
      other is JSON, with the machine and the versions.
    repeats: n of every median.
  """

  def __init__(self, path, repeats):
    from trainloop.workdir import (
      run_files,  # flags are good, TensorFlow is imported
    )

    if path:
      run_files.check(path)
    self._path = path
    now = datetime.datetime.now(datetime.timezone.utc)
    self._results = {
      "date": now.isoformat(timespec="seconds"),
      "n": repeats,
      "machine": machine(),
      "versions": versions(),
      "command": _command(),
      "tables": [],
    }
    where = self._results["machine"]
    output.line(
      f"{where['cpus']} x {where['cpu']}, load {where['load'][0]}, "
      f"n = {repeats}"
    )
    installed = self._results["versions"].items()
    output.line(", ".join(f"{k} {v}" for k, v in installed))

  def add(self, table):
    """Shows a table and writes all so far.

    Args:
      table: {"mode", "model", "unit", "reference", "rows"}, maybe "cases".
    """
    self._results["tables"].append(table)
    ratio = f"ratio: time over that of {table['reference']}"
    parts = (table["mode"], table["model"], table["unit"], ratio)
    output.line("\n" + " | ".join(parts))
    show(table["rows"])
    if table.get("cases"):
      show(table["cases"])
    if self._path:
      from trainloop.workdir import run_files

      with (
        run_files.made(self._path) as part,  # a kill leaves no half a file
        open(part, "w", encoding="utf-8") as file,
      ):
        if self._path.endswith(".csv"):
          file.write(csv_text(self._results["tables"]))
        else:
          file.write(strict_json.report(self._results, indent=1))


def _command():
  """{flag: value} of the flags that were given."""
  values = flags.FLAGS.flag_values_dict()
  return {k: v for k, v in values.items() if flags.FLAGS[k].present}


def csv_text(tables):
  """Some tables as CSV: a line a row, then a line a case of each.

  Args:
    tables: as `Report.add` takes them.
  """
  text = io.StringIO()
  writer = csv.DictWriter(
    text, _COLUMNS, extrasaction="ignore", lineterminator="\n"
  )
  writer.writeheader()
  for table in tables:
    for row in [*table["rows"], *table.get("cases", ())]:
      times = " ".join(map(str, row.get("times", ())))
      writer.writerow({**table, **row, "times": times})
  return text.getvalue()


def show(rows):
  """Prints dicts as one table, a column for each key that some row has."""
  lines = [_cells(row) for row in rows]
  names = list(dict.fromkeys(name for line in lines for name in line))
  names.sort(key=lambda name: name == "note")  # wide ones last
  cells = [names] + [[line.get(name, "") for name in names] for line in lines]
  widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
  for line in cells:
    text = "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True))
    output.line(text.rstrip())


def _cells(row):
  """{column: text} of one row; an interval stands beside its ratio."""
  cells = {k: _text(v) for k, v in row.items() if k not in _HIDDEN}
  if row.get("low") is not None:
    cells["ratio"] += f" [{row['low']:.2f}, {row['high']:.2f}]"
  return {k: v for k, v in cells.items() if v}


def _text(value):
  if isinstance(value, float):
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"
  return "" if value is None else str(value)
