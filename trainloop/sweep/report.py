"""Range sweeps as a picture, a CSV file and TensorBoard runs."""

import csv
import os
import time

import numpy as np

from kernels import checks
from trainloop.display import figures
from trainloop.workdir import run_files, run_names
from trainloop.workdir.tensorboard import event_file

_CSV, _PNG = "sweep.csv", "sweep.png"
_HEAD = "sweep,step,learning_rate,loss,smoothed_loss,loss_change"
_TAGS = (event_file.LEARNING_RATE, "loss", "smoothed_loss", "loss_change")


def save(folder, sweeps):
  """Writes sweep.png, sweep.csv and a TensorBoard run a sweep.

  Args:
    folder: made if missing; the run of a sweep is a folder of its name in it.
    sweeps: {name: Sweep}.

  Raises:
    OSError: if something can't be written.
  """
  check(folder, sweeps)
  os.makedirs(folder, exist_ok=True)
  with run_files.made(os.path.join(folder, _CSV)) as part:
    save_csv(part, sweeps)
  for name, sweep in sweeps.items():
    table = np.stack([column for _, column in _columns(sweep)], axis=1)
    times = np.full(len(table), time.time())
    path = os.path.join(folder, name)
    table = table.astype(np.float32)
    steps = np.arange(len(table), dtype=np.int64)
    event_file.write_run(path, times, steps, _TAGS, table)
  with run_files.made(os.path.join(folder, _PNG)) as part:
    save_png(part, sweeps)


def check(folder, names):
  """Refuses a folder in which something else than a sweep's would be written.

  Args:
    folder: where the files of a sweep go; need not be there.
    names: of the sweeps.

  Raises:
    ValueError: naming it.
  """
  for name in names:
    if run_names.is_run(name):
      checks.fail("name", name, "another than that of a run's folder")
    run_files.check(os.path.join(folder, name), folder=True)
  csv_path, png_path = (os.path.join(folder, n) for n in (_CSV, _PNG))
  for path in (csv_path, png_path):
    run_files.check(path)
  strange = None
  if os.path.lexists(csv_path):
    with open(csv_path, encoding="utf-8", errors="replace") as file:
      strange = None if file.readline().strip() == _HEAD else csv_path
  elif os.path.lexists(png_path):
    strange = png_path
  if strange is not None:
    rule = f"a folder without another program's {os.path.basename(strange)}"
    checks.fail("workdir", str(folder), rule)


def save_csv(path, sweeps):
  """Writes a line an update: sweep, step, and the columns."""
  with open(path, "w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file)
    for i, (name, sweep) in enumerate(sweeps.items()):
      columns = _columns(sweep)
      if i == 0:
        writer.writerow(_HEAD.split(","))
      for step, row in enumerate(zip(*(c for _, c in columns), strict=True)):
        writer.writerow([name, step, *(repr(float(value)) for value in row)])


def _columns(sweep):
  return [
    ("learning_rate", sweep.learning_rates),
    ("loss", sweep.losses),
    ("smoothed_loss", sweep.smoothed),
    ("loss_change", sweep.changes),
  ]


def save_png(path, sweeps):
  """Draws `figure_of` sweeps, {name: Sweep}, into a file."""
  figures.save(figure_of(sweeps), path)


def figure_of(sweeps):
  """Losses above and their changes below, over the learning rate.

  The losses are thin and their smoothed ones thick; dots are fastai's four
  suggestions, a star the fastest fall, and the band is the automatic range.

  Args:
    sweeps: {name: Sweep}, each of one update or more.
  """
  labels = ["loss", "loss change a step\n(average of 20)"]
  figure, (upper, lower) = figures.blank(labels, "learning rate", [3, 2])
  for i, (name, sweep) in enumerate(sweeps.items()):
    color = {"color": f"C{i}"}
    rates, smoothed = sweep.learning_rates, sweep.smoothed
    upper.plot(rates, sweep.losses, **color, linewidth=0.6, alpha=0.4)
    upper.plot(rates, smoothed, **color, linewidth=1.6, label=name)
    for rate in sweep.suggestions.values():
      if np.isfinite(rate):
        loss = np.interp(rate, rates, smoothed)
        upper.plot(rate, loss, "o", **color, markersize=4)
    if np.isfinite(sweep.lr_range).all():
      upper.axvspan(*sweep.lr_range, **color, alpha=0.1)
    lower.plot(rates, sweep.changes, **color, linewidth=1.4)
    if np.isfinite(sweep.best_lr):
      least = sweep.changes.min()
      lower.plot(sweep.best_lr, least, "*", **color, markersize=9)
  upper.set_xscale("log")
  _limit(upper, [sweep.smoothed for sweep in sweeps.values()], 1.5)
  _limit(lower, [sweep.changes for sweep in sweeps.values()], 1.0)
  return figure


def _limit(axes, series, factor):
  """Keeps a last loss that exploded from flattening all the others."""
  shown = np.concatenate([one[: max(1, len(one) - 3)] for one in series])
  low, high = float(shown.min()), float(shown.max())
  room = 0.05 * max(high - low, 1e-12)
  axes.set_ylim(low - room, low + factor * (high - low) + room)
