"""What Jupyter shows of a history and a sweep: a picture, or a line."""

import dataclasses
import re
import struct
import sys

import numpy as np
import pytest

import kernels
import trainloop
from support import small
from trainloop.display import fit_pictures, notebook
from trainloop.model.rows import Layout
from trainloop.workdir.history import History

NUMBER = r"[\d.e-]+"


@pytest.fixture(scope="module")
def loop():
  return small.loop(compile="graph", schedule=kernels.OneCycle(0.1, 24))


@pytest.fixture(scope="module")
def sweep(loop):
  return trainloop.sweep_learning_rate(
    loop, small.data(), min_lr=1e-3, steps=40, name="sgd"
  )


@pytest.fixture(scope="module")
def history(loop, sweep):
  return loop.fit(small.data(), 2, validation=small.validation())


def size_of(png):
  """(width, height, colour type) of a PNG."""
  assert png.startswith(b"\x89PNG\r\n\x1a\n")
  return *struct.unpack(">II", png[16:24]), png[25]


@pytest.mark.parametrize("name", ["history", "sweep"])
def test_a_result_is_a_small_picture(name, request):
  pytest.importorskip("matplotlib")
  png = request.getfixturevalue(name)._repr_png_()
  width, height, kind = size_of(png)
  assert width == 576 and 350 < height < 550
  assert kind == 3 and 5_000 < len(png) < 40_000  # a palette


@pytest.mark.parametrize("name", ["history", "sweep"])
def test_without_matplotlib_its_line_is_shown(name, request, monkeypatch):
  result = request.getfixturevalue(name)
  for module in ("matplotlib.figure", "matplotlib.backends.backend_agg"):
    monkeypatch.setitem(sys.modules, module, None)
  assert result._repr_png_() is None
  assert "\n" not in repr(result)


def test_the_line_of_a_history(history):
  values = ", ".join(
    f"{name} {history.epochs[name][-1]:.4g}"
    for name in ("loss", "accuracy", "val_loss", "val_accuracy")
  )
  want = f"<History: completed; 24 updates, 2 epochs; {values}>"
  assert repr(history) == want


def test_the_line_of_a_sweep(sweep):
  found = re.fullmatch(
    rf"<Sweep sgd: (\d+) of 40 updates, diverged; valley ({NUMBER}), "
    rf"slide {NUMBER}, steep {NUMBER}, minimum {NUMBER}, "
    rf"fastest fall {NUMBER}; range {NUMBER} to ({NUMBER})>",
    repr(sweep),
  )
  assert found, repr(sweep)
  assert int(found[1]) == len(sweep.losses) < 40
  assert found[2] == f"{sweep.suggestions['valley']:.4g}"
  assert found[3] == f"{sweep.lr_range[1]:.3g}"


def test_of_nothing_there_is_no_picture(sweep):
  history = History(0, Layout())
  assert history._repr_png_() is None
  assert repr(history) == "<History: not ended; 0 updates, 0 epochs>"
  none = np.zeros(0, np.float32)
  empty = dataclasses.replace(sweep, learning_rates=none, losses=none)
  assert empty._repr_png_() is None
  assert repr(empty).startswith("<Sweep sgd: 0 of 40 updates, diverged; ")


def panels(told):
  """{label: the lines} of the figure of a fit."""
  figure = fit_pictures.overview(told)
  return {axes.get_ylabel(): axes.lines for axes in figure.axes}


def told(history):
  return fit_pictures.Told(history.rows, history.epochs, (), 12, None)


def test_what_is_drawn_of_a_fit(history):
  pytest.importorskip("matplotlib")
  drawn = panels(told(history))
  assert list(drawn) == ["loss", "learning rate", "momentum"]
  losses = {line.get_label(): line.get_data() for line in drawn["loss"]}
  assert list(losses) == [
    "loss of an update",
    "loss of an epoch",
    "val_loss of an epoch",
  ]
  ends, values = losses["val_loss of an epoch"]
  assert ends.tolist() == [11, 23]
  assert values.tolist() == history.epochs["val_loss"].tolist()
  for label, name in (("learning rate", "learning_rate"), ("momentum",) * 2):
    (line,) = drawn[label]
    assert line.get_ydata().tobytes() == history.rows[name].tobytes()


@pytest.mark.parametrize("momentum", [0.9, float("nan")])
def test_a_momentum_that_stands_still_is_not_drawn(history, momentum):
  pytest.importorskip("matplotlib")
  still = np.full(24, momentum, np.float32)
  rows = {**history.rows, "momentum": still}
  drawn = panels(told(history)._replace(rows=rows))
  assert list(drawn) == ["loss", "learning rate"]


def test_a_fit_that_was_cut_off_in_its_first_epoch(history):
  pytest.importorskip("matplotlib")
  rows = {name: column[:5] for name, column in history.rows.items()}
  drawn = panels(told(history)._replace(rows=rows, epochs={}))
  (line,) = drawn["loss"]
  assert line.get_xdata().tolist() == [0, 1, 2, 3, 4]


def test_what_else_goes_wrong_is_not_hidden():
  def draw():
    raise RuntimeError("drawing")

  with pytest.raises(RuntimeError, match="drawing"):
    notebook.png(draw)
