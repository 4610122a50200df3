"""What came of a fit: the metrics of its last and of its best epoch."""

import math

from trainloop.display import lines

_NAME, _ACROSS = 28, 24  # columns


def result(epochs, best, weights):
  """What came of a fit.

  Args:
    epochs: {"epoch", metric name: one value an epoch}, arrays.
    best: {"monitor", "value", "step", "epoch"} of the best validation; where
      it is empty the loss says which epoch is best.
    weights: what the model was given back at the end, in words, or "".

  Returns:
    Lines of text.
  """
  if not len(epochs.get("epoch", ())):
    return []
  row, monitor = _best_row(epochs, best)
  shown = table(epochs, row)
  if best:
    text = f"{monitor} {best['value']:.4g}, after step {best['step'] + 1}"
    shown.append(lines.labelled("best", f"{text} in epoch {best['epoch']}"))
  elif row is not None:
    text = f"{monitor} {epochs[monitor][row]:.4g}, at the end of epoch"
    shown.append(lines.labelled("best", f"{text} {epochs['epoch'][row]:g}"))
  return [*shown, lines.labelled("weights", weights)] if weights else shown


def table(epochs, best):
  """The metrics of the last epoch and of the best one, side by side.

  Args:
    epochs: see `result`; of one epoch or more.
    best: index of the best one in it, or None.

  Returns:
    Lines of text.
  """
  last = len(epochs["epoch"]) - 1
  columns = {last: "last"}
  if best is not None:
    columns[best] = "last and best" if best == last else "best"
  names = dict.fromkeys(name.removeprefix("val_") for name in epochs)
  names.pop("epoch")
  sides = ["", "val_"] if any("val_" + n in epochs for n in names) else [""]
  words = {"": "train", "val_": "validation"}
  size = min(max(map(len, names)), _NAME)
  cell = _ACROSS // len(sides)
  heads = [f"epoch {epochs['epoch'][i]:g}, {columns[i]}" for i in columns]
  rows = {
    "": [f"{head:>{_ACROSS}}" for head in heads],
    " ": [f"{words[side]:>{cell}}" for _ in columns for side in sides],
  }
  for name in names:
    values = [(epochs.get(side + name), i) for i in columns for side in sides]
    rows[name] = [f"{_number(*value):>{cell}}" for value in values]
  heads = {name: lines.cut(name, size).ljust(size) for name in rows}
  return [heads[name] + "".join(rows[name]) for name in rows]


def _best_row(epochs, best):
  """(row of the best epoch or None, name of what it is best by)."""
  if best:
    rows = (epochs["epoch"] == best["epoch"]).nonzero()[0]
    return (int(rows[0]) if len(rows) else None), best["monitor"]
  monitor = "val_loss" if "val_loss" in epochs else "loss"
  values = epochs[monitor]
  finite = [i for i, value in enumerate(values) if math.isfinite(value)]
  return min(finite, key=lambda i: values[i], default=None), monitor


def _number(values, row):
  """A metric's value; - where there is none."""
  value = math.nan if values is None else values[row]
  return "-" if math.isnan(value) else f"{value:.4g}"
