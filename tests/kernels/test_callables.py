"""Callables of a user: what they must take; what they raise goes up alone."""

import functools
import traceback

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernels
from kernels import callables, checks


class Takes:
  def __call__(self, epoch, lr=None):
    return 0.1


@pytest.mark.parametrize(
  ("function", "arguments", "taken"),
  [
    (lambda a: None, ({},), True),
    (lambda *all: None, ({},), True),
    (lambda a, b=1: None, ({},), True),
    (lambda: None, ({},), False),
    (lambda a, b: None, ({},), False),
    (lambda *, a: None, ({},), False),
    (lambda a, *, b: None, ({},), False),
    (functools.partial(lambda a, b: None, 1), ({},), True),
    (functools.partial(lambda a, b: None, b=1), ({},), True),
    (Takes(), (0, 0.1), True),
    (Takes(), (0, 0.1, 1), False),
    (Takes, (), True),
    (Takes().__call__, (0,), True),
    (print, ({},), True),
    (min, (0, 1), True),  # does not say what it takes
  ],
)
def test_arguments_are_asked_for(function, arguments, taken):
  assert callables.takes(function, *arguments) is taken
  if taken:
    callables.check("action", function, *arguments, rule="one")
    return
  with pytest.raises(checks.ArgumentError) as caught:
    callables.check("action", function, *arguments, rule="a function of (x)")
  assert str(caught.value).startswith("`action` must be a function of (x); got")
  assert "0x" not in str(caught.value)


def modules(error):
  """The modules of an error's traceback, but this test's own call."""
  found = [frame.f_globals["__name__"] for frame, _ in
           traceback.walk_tb(error.__traceback__)]  # fmt: skip
  return found[1:]


def broken(*arguments):
  raise KeyError("mine")


@pytest.mark.parametrize(
  "call",
  [
    lambda: kernels.from_function(broken, 3, 10),
    lambda: kernels.tabulate(UserBroken(), 3),
    lambda: kernels.from_keras(BrokenKeras()),
  ],
)
def test_what_they_raise_goes_up_without_our_frames(call):
  with pytest.raises(KeyError, match="mine") as caught:
    call()
  assert set(modules(caught.value)) == {__name__}
  last = traceback.extract_tb(caught.value.__traceback__)[-1]
  assert last.line == 'raise KeyError("mine")'


class UserBroken(kernels.Schedule):
  total_steps = None

  def compute(self, step):
    broken()


class UserSingle(kernels.Schedule):
  total_steps = None

  def compute(self, step):
    return tf.cast(step, tf.float64)


class UserBranches(kernels.Schedule):
  total_steps = None

  def compute(self, step):
    if tf.reduce_all(step > 3):
      return tf.zeros_like(step, tf.float64), None
    return tf.ones_like(step, tf.float64), None


class BrokenKeras(keras.optimizers.schedules.LearningRateSchedule):
  def __call__(self, step):
    broken()


class KerasBranches(BrokenKeras):
  def __call__(self, step):
    return 0.1 if step < 10 else 0.01


class KerasNumPy(BrokenKeras):
  def __call__(self, step):
    return float(np.exp(-np.asarray(step)))


class KerasNothing(BrokenKeras):
  def __call__(self, step):
    return None


class KerasNoStep(BrokenKeras):
  def __call__(self):
    return 0.1


class KerasNegative(BrokenKeras):
  def __call__(self, step):
    return -0.1


_OPS = "must be made of TensorFlow or Keras ops, as it is compiled"


@pytest.mark.parametrize(
  ("call", "told", "line"),
  [
    (lambda: kernels.tabulate(UserBranches(), 9), f"`UserBranches` {_OPS}",
     "if tf.reduce_all"),
    (lambda: kernels.tabulate(UserSingle(), 9), "`UserSingle.compute()` must",
     None),
    (lambda: kernels.from_keras(KerasBranches()), f"`keras_schedule` {_OPS}",
     "return 0.1 if step < 10 else 0.01"),
    (lambda: kernels.from_keras(KerasNumPy()), f"`keras_schedule` {_OPS}",
     "return float(np.exp"),
    (lambda: kernels.from_keras(KerasNothing()), "`keras_schedule(0)` must be",
     None),
    (lambda: kernels.from_keras(KerasNoStep()), "`keras_schedule` must be a ",
     None),
    (lambda: kernels.from_keras(KerasNegative()), "`keras_schedule(0)` must",
     None),
    (lambda: kernels.from_function(lambda: 0.1, 3, 10), "`fn` must be a func",
     None),
    (lambda: kernels.from_function(lambda a, b, c: 0.1, 3, 10), "`fn` must",
     None),
    (lambda: kernels.from_function(lambda e: None, 3, 10), "`fn(0)` must be",
     None),
    (lambda: kernels.from_function(lambda e: 0.1, 10**9, 10), "`epochs` must",
     None),
  ],
)  # fmt: skip
def test_what_cannot_be_is_one_line_that_ends_in_theirs(call, told, line):
  with pytest.raises(checks.ArgumentError) as caught:
    call()
  text = str(caught.value)
  assert text.startswith(told) and "\n" not in text
  if line is not None:
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert last.line.startswith(line) and repr(last.line) in text
    assert set(modules(caught.value)) == {__name__}


@pytest.mark.parametrize(
  ("text", "reason"),
  [
    ("mine", "mine"),
    ("", "RuntimeError"),
    ("Exception encountered when calling A.call().\n\n\x1b[1mmine\x1b[0m",
     "mine"),
    ("{{function_node __wrapped__Cast}} Cast failed [Op:Cast] name: ",
     "Cast failed"),
  ],
)  # fmt: skip
def test_the_line_of_an_error_that_says_something(text, reason):
  assert callables.reason(RuntimeError(text)) == reason


def test_keras_own_words_around_a_layer_are_left_out():
  class Odd(keras.layers.Layer):
    def call(self, x):
      broken()

  with pytest.raises(Exception, match="mine") as caught:
    keras.Sequential([keras.Input((2,)), Odd()])
  assert "mine" in callables.reason(caught.value)
  assert len(callables.reason(caught.value)) < 20
