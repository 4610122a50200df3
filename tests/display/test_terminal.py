"""What a fit shows while it runs: one live line, or plain lines."""

import io
import itertools

import pytest

from trainloop.display.terminal import Progress, duration
from trainloop.model.rows import Row


def test_duration_words():
  assert [duration(s) for s in (0.4, 48, 187, 7509)] == [
    "0s",
    "48s",
    "3:07",
    "2:05:09",
  ]


class Terminal(io.StringIO):
  def isatty(self):
    return True


class Notebook(io.StringIO):
  """As what ipykernel puts in the place of standard output."""

  __module__ = "ipykernel.iostream"


def show(stream, epochs=2, size=10, tick=1.0, values=None, row=None, level=1):
  """A fit with a window in the middle of each epoch and one at its end."""
  clock = itertools.count(0, tick)
  values = values or {"loss": 0.5, "accuracy": 0.25, "val_loss": 0.75}
  row = row or Row(0.1, 0.9, 123.456789, 1.0, 0.0)
  progress = Progress(level, stream, lambda: next(clock))
  progress.start(0, epochs * size, epochs)
  for epoch in range(1, epochs + 1):
    progress.window(epoch, size * epoch - size // 2, row)
    progress.window(epoch, size * epoch, row)
    progress.epoch(epoch, size * epoch, values)
  progress.finish(size * epochs, "completed", ["a table"])
  return stream.getvalue()


def test_a_log_has_plain_lines():
  text = show(io.StringIO())
  head = "epoch 1/2  step 10  loss 0.5 val 0.75  accuracy 0.25"
  lines = text.splitlines()
  assert lines[0].startswith(head) and lines[0].endswith(" st/s")
  assert lines[2].startswith("completed after 20 steps in 7s (")
  assert len(lines) == 4 and lines[3] == "a table" and "\r" not in text


@pytest.mark.parametrize("width", [80, 40, 12])
def test_a_live_line_never_wraps(monkeypatch, width):
  monkeypatch.setenv("COLUMNS", str(width))
  huge = Row(1.23456e-30, 0.123456789, -1.23456789e30, 1.0, 0.0)
  values = {f"a_long_name_of_a_metric_{i}": 1e-30 * i for i in range(9)}
  text = show(Terminal(), 12345, 10**12, 60.0, values, huge)
  live = [part for line in text.split("\n") for part in line.split("\r")[:-1]]
  assert len(live) > 12345 and max(map(len, live)) < width
  lines = [line.split("\r")[-1] for line in text.split("\n")]
  assert max(len(line) for line in lines if "epoch" in line) < width
  assert "\r" + "epoch 9/12345"[: width - 1] in text


@pytest.mark.parametrize("stream", [Terminal, Notebook])
def test_a_live_line_says_where_it_is(monkeypatch, stream):
  monkeypatch.setenv("COLUMNS", "80")
  text = show(stream())
  assert "\rcompiling the first window\r" in text
  assert "\repoch 1/2  step 5/20  loss 123.5  lr 0.1  mom 0.9\r" in text
  assert "step 10/20  loss 123.5  2s left  5 st/s  lr 0.1  mom 0.9\r" in text
  assert "mom" not in show(stream(), row=Row(0.1, float("nan"), 1.0, 1.0, 0.0))


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_quick_epochs_do_not_flood(stream):
  text = show(stream(), 20000, 10, tick=1e-4)  # 6 s at 10000 times a second
  lines = [s for s in text.split("\n") if "accuracy" in s]
  assert 100 < len(lines) <= 170
  assert lines[-1].split("\r")[-1].startswith("epoch 20000/20000")
  assert text.count("\r") < 400


def test_levels():
  quiet = io.StringIO()
  assert show(quiet, level=0) == ""
  for level, want in ((0, "w"), (1, "wl"), (2, "wld")):
    stream = io.StringIO()
    progress = Progress(level, stream)
    progress.warn("w")
    progress.line("l")
    progress.detail("d")
    assert stream.getvalue() == "".join(f"{c}\n" for c in want)


@pytest.mark.parametrize("bad", [3, -1, "1", 0.5, None])
def test_a_level_that_is_none(bad):
  with pytest.raises(ValueError, match="`verbose` must be an integer"):
    Progress(bad)


def test_a_fit_is_introduced_once():
  stream = io.StringIO()
  progress = Progress(True, stream)
  for fit in ("one", "two"):
    progress.introduce(lambda: ["loop"], lambda fit=fit: [fit])
  assert stream.getvalue() == "loop\none\ntwo\n"


def test_a_line_takes_the_place_of_the_live_one():
  stream = Terminal()
  progress = Progress(True, stream)
  progress.start(0, 20, 2)
  progress.line("short")
  progress.line("next")
  room = len("compiling the first window")
  assert stream.getvalue().endswith("\r" + "short".ljust(room) + "\nnext\n")
  progress.clear()
  assert stream.getvalue().endswith("next\n")
