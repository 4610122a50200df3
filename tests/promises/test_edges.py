"""Durations, windows' ends and lengths: the small pieces at the edge."""

import dataclasses

import pytest

from trainloop.base import durations
from trainloop.fit.window_length import WindowLength
from trainloop.workdir.fit_plan import FitPlan


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
  plan, step, ends = dataclasses.replace(plan, wake_every=(7,)), plan.start, []
  while step < plan.end:
    step += plan.until_event(step)
    ends.append(step - plan.start)
  assert ends == [7, 14, 21, 28, 30]


def test_pace_aims_at_a_tenth_of_a_second():
  length = WindowLength("auto")
  first = length.updates
  length.record(first, 9.0)  # compilation
  assert length.updates == first
  length.record(first, first * 0.001)
  assert length.updates == 4 * first
  length.record(50, 50 * 0.001)
  assert length.updates == 100
  length.record(100, 100 * 1.0)
  assert length.updates == 1
  fixed = WindowLength(7)
  fixed.record(7, 1e-9)
  assert fixed.updates == 7


@pytest.mark.parametrize("bad", [0, -1, 1.5, "fast", True, None])
def test_bad_window_length(bad):
  with pytest.raises(ValueError, match="`steps_per_loop` must be"):
    WindowLength(bad)
