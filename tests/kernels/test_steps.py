"""Ascending steps as ranges and tables, against lists of them."""

import numpy as np
import pytest

import kernels
from kernels.steps import Steps

CASES = [
  Steps(),
  Steps([4]),
  Steps(range(3, 50, 7)),
  Steps([1, 2, 5], range(9, 30, 4), [], [31, 40], range(41, 44)),
]


@pytest.mark.parametrize("steps", CASES, ids=repr)
def test_it_is_the_list_of_its_steps(steps):
  every = list(steps)
  assert steps == every and len(steps) == len(every)
  assert [steps[i] for i in range(-len(every), len(every))] == every * 2
  assert steps[1:] == every[1:] and steps[-1:] == every[-1:]
  assert steps[::2] == every[::2]
  with pytest.raises(IndexError):
    steps[len(every)]
  assert steps.shifted(5) == [step + 5 for step in every]
  assert steps + [99] == [*every, 99] and steps != [*every, 99]
  asked = np.arange(-2, 60)
  assert steps.below(asked).tolist() == [
    sum(step < one for step in every) for one in asked
  ]
  for first, last in ((0, 60), (4, 31), (10, 10), (5, 42)):
    assert steps.within(first, last) == [s for s in every if first <= s < last]


# Of 10^15 updates: as lists these would not fit any memory.
@pytest.mark.parametrize(
  ("schedule", "count", "last"),
  [
    (kernels.CosineRestarts(0.1, 10), 10**14 - 1, 10**15 - 10),
    (kernels.Triangular(0.0, 0.1, 5), 10**14 - 1, 10**15 - 10),
    (kernels.Warmup(kernels.CosineRestarts(0.1, 10), 5), 10**14 - 1, None),
    (kernels.Scaled(kernels.Triangular(0.0, 0.1, 5), 0.5), 10**14 - 1, None),
    (
      kernels.Product([kernels.Constant(1), kernels.Triangular(0.0, 0.1, 5)]),
      10**14 - 1,
      10**15 - 10,
    ),
    (
      kernels.Warmup(kernels.CosineRestarts(0.1, 10), 15, shift=False),
      10**14 - 2,
      10**15 - 10,
    ),
    (
      kernels.Join([kernels.Constant(0.1), kernels.Triangular(0, 1, 5)], [10]),
      10**14 - 1,
      10**15 - 10,
    ),
  ],
  ids=lambda value: type(value).__name__,
)
def test_cycles_of_an_endless_run_take_no_room(schedule, count, last):
  starts = schedule.cycle_starts(10**15)
  assert len(starts) == count
  assert last in (None, starts[-1])
  assert sum(map(len, schedule.corners(10**15))) >= count


def test_a_long_one_is_shown_in_short():
  assert repr(Steps(range(1, 30))).endswith("20, ..., 29] (29 steps)")
