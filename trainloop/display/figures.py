"""Blank matplotlib figures and simple line plots, drawn without a display."""

import numpy as np

_SIZE = (8, 4)


def blank(labels, xlabel, ratios=None):
  """A figure of panels over each other that share their x axis.

  Args:
    labels: of each panel's y axis.
    xlabel: of the shared x axis.
    ratios: relative heights, or None for equal ones.

  Returns:
    (figure, list of axes).
  """
  # Imported here: matplotlib is an extra, and pyplot would choose a display.
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure

  width, height = _SIZE
  figure = Figure((width, height + 1.5 * (len(labels) - 1)),
                  layout="constrained")  # fmt: skip
  FigureCanvasAgg(figure)
  grid = {"height_ratios": ratios} if ratios else {}
  axes = figure.subplots(
    len(labels), sharex=True, squeeze=False, gridspec_kw=grid
  )
  axes = list(axes[:, 0])
  for each, label in zip(axes, labels, strict=True):
    each.set_ylabel(label)
    each.margins(x=0.01)
    each.grid(alpha=0.25)
    each.spines[["top", "right"]].set_visible(False)
  axes[-1].set_xlabel(xlabel)
  return figure, axes


def save(figure, path, dpi=120):
  """Writes a figure as PNG, with a legend above if its first panel has names.

  Args:
    figure: of `blank`, drawn.
    path: the file to write, or a binary one that is open.
    dpi: dots an inch; a figure is 8 inches wide.

  Raises:
    OSError: if the file can't be written.
  """
  handles, names = figure.axes[0].get_legend_handles_labels()
  if handles:
    place = "outside upper center"
    figure.legend(handles, names, loc=place, ncols=4, frameon=False)
  figure.savefig(path, dpi=dpi, format="png")


def save_lines(path, lines, xlabel, ylabel):
  """Draws lines over each other into a PNG.

  Args:
    path: file to write.
    lines: {name: values, or (x, values)}; values alone count from 1.
    xlabel, ylabel: names of the axes.
  """
  save_panels(path, {ylabel: lines}, xlabel)


def save_panels(path, panels, xlabel, xscale="linear"):
  """Draws panels of lines, one above the other, into a PNG.

  Args:
    path: file to write.
    panels, xlabel, xscale: see `panels_of`.
  """
  save(panels_of(panels, xlabel, xscale), path)


def panels_of(panels, xlabel, xscale="linear"):
  """A figure of panels of lines, one above the other.

  Args:
    panels: {name of the y axis: lines as in `save_lines`}.
    xlabel: name of the shared x axis.
    xscale: "linear" or "log".
  """
  figure, axes = blank(list(panels), xlabel)
  for each, lines in zip(axes, panels.values(), strict=True):
    for i, (name, line) in enumerate(lines.items()):
      x, y = line if isinstance(line, tuple) else (None, line)
      x = np.arange(1, len(y) + 1) if x is None else x
      marker = "." if len(y) < 60 else ""
      color = f"C{i}"
      each.plot(x, y, label=name, color=color, linewidth=1.4, marker=marker)
  axes[-1].set_xscale(xscale)
  return figure
