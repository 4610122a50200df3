"""Range sweeps as a picture, a CSV file and TensorBoard runs."""

import csv
import os
import time

import numpy as np

from trainloop import figures, tensorboard

_TAGS = (tensorboard.LEARNING_RATE, "loss", "smoothed_loss", "loss_change")


def save(folder, sweeps):
  """Writes sweep.png, sweep.csv and a TensorBoard run a sweep.

  Args:
    folder: made if missing; the run of a sweep is a folder of its name in it.
    sweeps: {name: Sweep}.

  Raises:
    OSError: if something can't be written.
  """
  os.makedirs(folder, exist_ok=True)
  save_csv(os.path.join(folder, "sweep.csv"), sweeps)
  for name, sweep in sweeps.items():
    table = np.stack([column for _, column in _columns(sweep)], axis=1)
    times = np.full(len(table), time.time())
    path = os.path.join(folder, name)
    table = table.astype(np.float32)
    steps = np.arange(len(table), dtype=np.int64)
    tensorboard.write_run(path, times, steps, _TAGS, table)
  save_png(os.path.join(folder, "sweep.png"), sweeps)


def save_csv(path, sweeps):
  """Writes a line an update: sweep, step, and the columns."""
  with open(path, "w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file)
    for i, (name, sweep) in enumerate(sweeps.items()):
      columns = _columns(sweep)
      if i == 0:
        writer.writerow(["sweep", "step", *(title for title, _ in columns)])
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
  """Draws losses above and their changes below, over the learning rate.

  The losses are thin and their smoothed ones thick; dots are fastai's four
  suggestions, a star the fastest fall, and the band is the automatic range.

  Args:
    path: file to write.
    sweeps: {name: Sweep}.
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
  figures.save(figure, path)


def _limit(axes, series, factor):
  """Keeps a last loss that exploded from flattening all the others."""
  shown = np.concatenate([one[: max(1, len(one) - 3)] for one in series])
  low, high = float(shown.min()), float(shown.max())
  room = 0.05 * max(high - low, 1e-12)
  axes.set_ylim(low - room, low + factor * (high - low) + room)
