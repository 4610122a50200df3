"""Pictures of schedules: what is drawn, in characters and as a PNG."""

import numpy as np
import pytest

import kernels
from trainloop.display import schedule_pictures

RESTARTS = kernels.CosineRestarts(0.1, 10, 2.0, momentum=(0.95, 0.85))


def test_a_long_run_keeps_its_peaks():
  schedule = kernels.CosineRestarts(0.1, 10_007)
  at, rates, momenta, starts = schedule_pictures.curves(
    {"one": schedule}, 10**6
  )["one"]
  assert starts == range(10_007, 10**6, 10_007)
  assert momenta is None and len(at) < 9000
  assert (rates[np.isin(at, starts)] == np.float32(0.1)).all()
  assert at[0] == 0 and at[-1] == 10**6 - 1


def test_text_shows_curves_ends_and_cycles():
  lines = schedule_pictures.text({"sgdr": RESTARTS}, 70, width=70).splitlines()
  assert lines[0] == "learning rate" and lines[17] == "momentum"
  assert lines[1].startswith("      0.1 |*") and lines[16][:11] == " 0.000154 |"
  assert lines[18].startswith("     0.95 |")
  ruler = lines[26][11:]
  assert [i for i, sign in enumerate(ruler) if sign == "|"] == [10, 30]
  assert lines[27].split() == ["step", "0", "69"]
  assert lines[28] == "* sgdr"
  assert all(len(line) <= 81 for line in lines)


def test_text_lays_several_over_each_other():
  drawn = {"line": kernels.Linear(0.1, 0.0, 50), "flat": kernels.Constant(0.1)}
  lines = schedule_pictures.text(drawn, 51, width=51).splitlines()
  assert lines[1][11:] == "o" * 51 and lines[8][11:].strip().startswith("*")
  assert lines[-2:] == ["* line", "o flat"]
  assert "momentum" not in lines


def test_a_log_axis_leaves_zeros_out():
  line = {"line": kernels.Linear(0.1, 0.0, 50)}
  lines = schedule_pictures.text(line, 51, "log").splitlines()
  assert lines[1].startswith("      0.1 |") and "0.002 |" in lines[16]
  zero = schedule_pictures.text({"none": kernels.Constant(0.0)}, 51, "log")
  assert zero.startswith("learning rate: nothing above 0")


@pytest.mark.parametrize("axis", ["linear", "log"])
def test_a_png(tmp_path, axis):
  matplotlib_image = pytest.importorskip("matplotlib.image")
  path = tmp_path / "both.png"
  drawn = {"sgdr": RESTARTS, "line": kernels.Linear(0.1, 0.001, 50)}
  schedule_pictures.save(path, drawn, 70, axis)
  image = matplotlib_image.imread(path)
  assert image.shape[:2] == (660, 960)
  shades = {tuple(pixel) for pixel in image.reshape(-1, image.shape[2])}
  for color in ((31, 119, 180), (255, 127, 14)):  # matplotlib's first two
    assert any(np.allclose(np.multiply(s[:3], 255), color) for s in shades)


def test_bad_arguments():
  with pytest.raises(ValueError, match="`axis` must be one of linear, log"):
    schedule_pictures.text({"sgdr": RESTARTS}, 70, "cubic")
  with pytest.raises(ValueError, match="`steps` must be an integer >= 1"):
    schedule_pictures.text({"sgdr": RESTARTS}, 0)
  with pytest.raises(ValueError, match="`width` must be"):
    schedule_pictures.text({"sgdr": RESTARTS}, 70, width=3)
