"""Two schedules are equal if all that they hold is."""

import numpy as np
import pytest
import tensorflow as tf

import kernels
from support import schedule_kinds


@pytest.mark.parametrize("name", schedule_kinds.MADE)
def test_other_values_make_another_schedule(name):
  one, other = schedule_kinds.MADE[name](0.25), schedule_kinds.MADE[name](0.75)
  assert one == one and one != other
  pair = [kernels.tabulate(schedule, 8)[0] for schedule in (one, other)]
  for schedule, rates in zip((one, other), pair, strict=True):
    want = [schedule(t).learning_rate for t in range(8)]
    np.testing.assert_allclose(rates, want, rtol=1e-6)
  assert pair[0][7] != pair[1][7]
  again = schedule_kinds.MADE[name](0.25)
  assert (again == one) == (name in schedule_kinds.BY_VALUE)
  assert name not in schedule_kinds.BY_VALUE or hash(again) == hash(one)


@pytest.mark.parametrize("name", ["keras", "plain", "kernel_subclass"])
def test_one_that_was_changed_is_another(name):
  schedule = schedule_kinds.MADE[name](0.25)
  before = kernels.tabulate(schedule, 3)[0]
  holder = schedule.keras_schedule if name == "keras" else schedule
  for key in ("rate", "factor"):
    if key in vars(holder):
      setattr(holder, key, 0.75)
  assert schedule == schedule_kinds.MADE[name](
    0.75
  ) and schedule != schedule_kinds.MADE[name](0.25)
  after = kernels.tabulate(schedule, 3)[0]
  np.testing.assert_allclose(after, 3.0 * before, rtol=1e-6)


def test_what_is_equal_to_itself_only():
  class Holder(kernels.Schedule):
    def __init__(self, held):
      self.held = held

  for held in (tf.Variable(1.0), object(), print, [tf.constant(1.0)]):
    assert Holder(held) == Holder(held)
  assert Holder(tf.Variable(1.0)) != Holder(tf.Variable(1.0))
  assert Holder({"a": [1.0]}) == Holder({"a": [1.0]}) != Holder({"a": [2.0]})
  assert Holder((1,)) != schedule_kinds.Plain((1,))
