"""Pictures of schedules: a PNG, and characters for a terminal.

Both evaluate a schedule at some thousand steps at most, its corners among
them, so that the picture of a long run keeps its peaks.
"""

import numpy as np

from kernels import checks
from kernels.steps import Steps
from trainloop.display import figures, outline

_POINTS = 8000
# More cycles than this are not marked: the marks would hide the curve.
_MARKS = 60
_AXES = ("linear", "log")
_SIGNS = "*o+x#@%&"


def curves(schedules, steps):
  """What is drawn of each schedule.

  Args:
    schedules: {name: `kernels.Schedule`}.
    steps: int >= 1; the steps 0 .. steps - 1 are drawn.

  Returns:
    {name: (steps, learning rates, momenta or None, cycle starts)}, NumPy but
    the last, which are `Steps`.
  """
  steps = checks.integer("steps", steps, 1)
  return {
    name: (
      *outline.of(schedule, 0, steps, _POINTS)[:3],
      Steps.of(schedule.cycle_starts(steps)),
    )
    for name, schedule in schedules.items()
  }


def save(path, schedules, steps, axis="linear"):
  """Draws schedules over each other into a PNG.

  Learning rates above, momenta below if any schedule has them; cycle starts
  are thin dotted lines.

  Args:
    path: file to write.
    schedules, steps: see `curves`.
    axis: "linear" or "log", of the learning rate.

  Raises:
    ValueError: if an argument breaks its rule.
    OSError: if the file can't be written.
  """
  checks.choice("axis", axis, _AXES)
  drawn = curves(schedules, steps)
  both = any(momenta is not None for _, _, momenta, _ in drawn.values())
  labels = ["learning rate", "momentum"][: 1 + both]
  figure, axes = figures.blank(labels, "step", [2, 1] if both else None)
  for i, (name, curve) in enumerate(drawn.items()):
    # Earlier ones are wider: what lies exactly over them leaves an edge.
    wide = 1.4 + 0.6 * (len(drawn) - 1 - i)
    _draw(axes, {"color": f"C{i}"}, wide, name, *curve)
  axes[0].set_yscale(axis)
  figures.save(figure, path)


def _draw(axes, color, wide, name, steps, rates, momenta, starts):
  for each, values in zip(axes, (rates, momenta), strict=False):
    if values is not None:
      each.plot(steps, values, **color, label=name, linewidth=wide)
    for start in starts if len(starts) <= _MARKS else ():
      each.axvline(start, **color, linestyle=":", linewidth=0.8, alpha=0.6)


def text(schedules, steps, axis="linear", width=72, height=16):
  """Draws schedules over each other in characters.

  Args:
    schedules, steps, axis: see `save`.
    width: columns of the curve, int >= 10.
    height: lines of the learning rate, int >= 4; momentum gets half.

  Returns:
    A str of lines: the learning rates, the momenta if there are any, a line
    that marks cycle starts with "|", and the signs' meaning.

  Raises:
    ValueError: if an argument breaks its rule.
  """
  checks.choice("axis", axis, _AXES)
  width = checks.integer("width", width, 10)
  height = checks.integer("height", height, 4)
  drawn = curves(schedules, steps)
  rates = [(at, values) for at, values, _, _ in drawn.values()]
  lines = _panel("learning rate", rates, steps, axis, width, height)
  momenta = [(at, values) for at, _, values, _ in drawn.values()]
  if any(values is not None for _, values in momenta):
    lines += _panel("momentum", momenta, steps, "linear", width, height // 2)
  marked = np.zeros(width, bool)
  for *_, starts in drawn.values():
    # A column's first step is the least that `_column` puts there.
    edges = -(-np.arange(width + 1) * max(1, steps - 1) // (width - 1))
    marked |= np.diff(starts.below(edges)) > 0
  marks = np.where(marked, "|", " ")
  ruler = f"{'cycles':>10} {''.join(marks).rstrip()}"
  last = f"{0:<{width - 10}}{steps - 1:>10}"
  signs = [f"{_SIGNS[i % 8]} {name}" for i, name in enumerate(drawn)]
  marked = [ruler] if "|" in ruler else []
  return "\n".join([*lines, *marked, f"{'step':>10} {last}", *signs])


def _panel(title, columns, steps, axis, width, height):
  """The lines of one quantity: `columns` are (steps, values or None)."""
  known = [values for _, values in columns if values is not None]
  scale = np.log10 if axis == "log" else np.asarray
  # A log axis has no place for zeros: they are left out.
  shown = np.concatenate([v[v > 0] if axis == "log" else v for v in known])
  if not shown.size:
    return [f"{title}: nothing above 0"]
  low, high = float(shown.min()), float(shown.max())
  span = max(float(scale(high) - scale(low)), 1e-12)
  grid = [[" "] * width for _ in range(height)]
  for i, (at, values) in enumerate(columns):
    for t, value in zip(at, () if values is None else values, strict=False):
      if value > 0 or axis == "linear":
        up = float(scale(value) - scale(low)) / span * (height - 1)
        row = height - 1 - round(up)
        grid[row][_column(t, steps, width)] = _SIGNS[i % 8]
  labels = [f"{high:.3g}", *[""] * (height - 2), f"{low:.3g}"]
  rows = zip(labels, grid, strict=True)
  return [
    title,
    *(f"{label:>9} |{''.join(row)}".rstrip() for label, row in rows),
  ]


def _column(step, steps, width):
  return int(step * (width - 1) // max(1, steps - 1))
