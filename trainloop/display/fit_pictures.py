"""Pictures of a fit: one thing of it into a file, or the whole at a glance."""

import typing

import numpy as np

from kernels import checks
from trainloop.display import figures

_ROWS = ("loss", "learning_rate", "momentum")


class Told(typing.NamedTuple):
  """What a fit left, for its pictures.

  Attributes:
    rows, epochs: as a `History` has them.
    further: names of the columns of `rows` that few fits have.
    steps_per_epoch: updates of an epoch.
    planned: gives the whole fit's `Outline`; or None.
  """

  rows: dict
  epochs: dict
  further: tuple
  steps_per_epoch: int | None
  planned: typing.Any


def save(path, what, told):
  """Draws one thing of a fit into a PNG; see `History.plot`."""
  epochs, further = told.epochs, told.further
  known = [n for n in epochs if n != "epoch" and not n.startswith("val_")]
  choices = dict.fromkeys((*_ROWS, *further, *known))
  checks.choice("what", what, list(choices))
  if what == "loss":
    figures.save_lines(path, _losses(told), "step", "loss")
  elif what in (*_ROWS, *further):
    label = what.replace("_", " ")
    figures.save_lines(path, _moved(what, told), "step", label)
  else:
    lines = {name: (epochs["epoch"], y) for name, y in _both(what, epochs)}
    figures.save_lines(path, lines, "epoch", what)


def overview(told):
  """A figure of the losses, the rates and, where it moves, the momentum.

  Args:
    told: a `Told` with one row or more.
  """
  rows, steps = told.rows, told.rows["step"]
  panels = {"loss": _losses(told)}
  panels["learning rate"] = {"used": (steps, rows["learning_rate"])}
  momentum = rows["momentum"]
  if (momentum != momentum[0]).any() and np.isfinite(momentum).any():
    panels["momentum"] = {"used": (steps, momentum)}
  return figures.panels_of(panels, "step")


def _losses(told):
  """{name: (steps, losses)} of updates and epochs."""
  rows, epochs = told.rows, told.epochs
  lines = {"loss of an update": (rows["step"], rows["loss"])}
  for name, values in _both("loss", epochs):
    lines[f"{name} of an epoch"] = (_ends(told), values)
  return lines


def _both(what, epochs):
  """[(name, values)] of a metric, and of its validation."""
  names = (what, f"val_{what}")
  return [(name, epochs[name]) for name in names if name in epochs]


def _ends(told):
  """Steps at the ends of the epochs: equally long, the last cut short."""
  steps, count = told.rows["step"], len(told.epochs["epoch"])
  ends = steps[0] + told.steps_per_epoch * np.arange(1, count + 1) - 1
  return np.minimum(ends, steps[-1])


def _moved(what, told):
  """{"planned": ..., "used": ...} of a hyperparameter."""
  used = {"used": (told.rows["step"], told.rows[what])}
  if told.planned is None:
    return used
  drawn = told.planned()
  plans = {"learning_rate": drawn.rates, "momentum": drawn.momenta}
  plan = {**plans, **drawn.others}.get(what)
  if plan is None:
    checks.fail("what", what, "'loss' or 'learning_rate' (there is none)")
  return {"planned": (drawn.steps, plan), **used}
