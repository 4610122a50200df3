"""Durations, windows' ends, pace, progress: the small pieces at the edge."""

import dataclasses
import io

import pytest

from trainloop import durations
from trainloop.fit_plan import FitPlan
from trainloop.pace import Pace
from trainloop.progress import Progress, duration


@pytest.mark.parametrize(
  ("text", "steps"),
  [
    ("3ep", 30),
    ("0.5ep", 5),
    ("7st", 7),
    (7, 7),
    ("10%", 20),
    ("2.5%", 5),
    ("0st", 0),
  ],
)
def test_durations(text, steps):
  assert durations.to_steps("warmup", text, 10, 200) == steps


@pytest.mark.parametrize(
  "text", ["", "3", "ep", "-1ep", "3 ep", None, 1.5, True]
)
def test_no_durations(text):
  with pytest.raises(ValueError, match="`warmup` must be a duration"):
    durations.to_steps("warmup", text, 10, 200)


def test_a_duration_too_short():
  with pytest.raises(ValueError, match="at least 1 steps"):
    durations.to_steps("warmup", "0.01ep", 10, 200, minimum=1)


def test_a_plan_never_crosses_an_event():
  plan = FitPlan(5, 2, 0, 3, 10, validate_steps=4, checkpoint_steps=15)
  step, ends = plan.start, []
  while step < plan.end:
    step += plan.until_event(step)
    ends.append(step - plan.start)
  assert ends == [4, 8, 10, 12, 15, 16, 20, 24, 28, 30]
  assert plan.position(5) == (2, 0) and plan.position(34) == (4, 9)
  assert [s for s in ends if plan.ends_epoch(s + 5)] == [10, 20, 30]
  assert [s for s in ends if plan.validates(s + 5)][:2] == [4, 8]
  assert [s for s in ends if plan.saves(s + 5)] == [15, 30]
  # Where epochs' ends are passed over, the fit's own still ends a window.
  plan, step, ends = dataclasses.replace(plan, acts=(7,)), plan.start, []
  while step < plan.end:
    step += plan.until_event(step)
    ends.append(step - plan.start)
  assert ends == [7, 14, 21, 28, 30]


def test_pace_aims_at_a_tenth_of_a_second():
  pace = Pace("auto")
  first = pace.steps
  pace.record(first, 9.0)  # compilation
  assert pace.steps == first
  pace.record(first, first * 0.001)
  assert pace.steps == 4 * first
  pace.record(50, 50 * 0.001)
  assert pace.steps == 100
  pace.record(100, 100 * 1.0)
  assert pace.steps == 1
  fixed = Pace(7)
  fixed.record(7, 1e-9)
  assert fixed.steps == 7


@pytest.mark.parametrize("bad", [0, -1, 1.5, "fast", True, None])
def test_bad_pace(bad):
  with pytest.raises(ValueError, match="`steps_per_loop` must be"):
    Pace(bad)


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


def show(stream):
  clock = iter(range(100))
  progress = Progress(stream, clock=lambda: next(clock))
  progress.start(FitPlan(0, 0, 0, 2, 10, 10, 10), 0)
  for epoch in (1, 2):
    progress.window(epoch, 10 * epoch - 5, (0.1, 0.9, 123.456789, 1.0))
    progress.epoch(epoch, 10 * epoch, {"loss": 0.5, "accuracy": 0.25})
  progress.finish(20, "completed")
  return stream.getvalue()


def test_a_log_has_plain_lines():
  lines = show(io.StringIO()).splitlines()
  assert lines[0].startswith("epoch 1/2 step 10  loss 0.5  accuracy 0.25")
  assert len(lines) == 3 and "\r" not in "".join(lines)
  assert lines[-1].startswith("completed after 20 steps in")


def test_a_terminal_has_one_live_line_that_never_wraps():
  text = show(Terminal())
  parts = [part for part in text.replace("\n", "\r").split("\r") if part]
  assert all(len(part) < 80 for part in parts)
  assert "epoch 1/2 step 5/20 loss 123.5 lr 0.1 mom 0.9" in text
  assert "left" in text


def test_quiet_means_quiet():
  stream = io.StringIO()
  progress = Progress(stream, quiet=True)
  progress.start(FitPlan(0, 0, 0, 2, 10, 10, 10), 0)
  progress.window(1, 5, (0.1, 0.9, 1.0, 1.0))
  progress.finish(20, "completed")
  assert stream.getvalue() == ""
