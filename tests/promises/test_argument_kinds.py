"""A bool is a bool and a choice one of its names, in all of the public API."""

import inspect

import keras
import numpy as np
import pytest

import kernels
import trainloop
from kernels import checks
from support import small

REST = {  # the arguments without a default
  "Exponential": (0.1, 10, 0.5),
  "InverseSqrt": (0.1, 10),
  "InverseTime": (0.1, 10, 0.5),
  "OneCycle": (0.1, 100),
  "Polynomial": (0.1, 0.0, 100),
  "Power": (0.1, 1.0),
  "RangeSweep": (0.01, 0.1, 100),
  "Triangular": (0.01, 0.1, 100),
  "Warmup": (kernels.Constant(0.1), 10),
  "WarmupStableDecay": (0.1, 1, 2, 3),
  "ArrayData": (np.ones((8, 2)), np.ones((8, 1))),
  "EMA": (),
  "CycleAverage": (),
  "ScheduleFree": (),
  "EarlyStopping": (),
  "ReduceOnPlateau": (),
  "TrainLoop": (),
}
# A monitor is any metric's name; these take a number of steps as well.
OPEN = {"monitor", "name"}
NUMBERS = {"steps_per_loop", "validate_every", "checkpoint_every", "log_every"}
BOOLS = ("False", "true", 0.0, None, np.array([True]))
NAMES = ("no such", b"auto", None, True, ["auto"])


def make(name, **given):
  if name == "TrainLoop":
    return trainloop.TrainLoop(
      small.model(),
      keras.optimizers.SGD(),
      "sparse_categorical_crossentropy",
      schedule=kernels.Constant(0.1),
      **given,
    )
  if name == "sweep_learning_rate":
    loop = make("TrainLoop")
    return trainloop.sweep_learning_rate(loop, small.data(), **given)
  if name == "ArrayData":
    given["batch_size"] = 4
  return public(name)(*REST[name], **given)


def public(name):
  return getattr(kernels, name, None) or getattr(trainloop, name)


def parameters(kind):
  """(name, parameter) of all whose default is of a kind."""
  for module in (kernels, trainloop):
    for name in module.__all__:
      one = getattr(module, name)
      if not callable(one) or name not in (*REST, "sweep_learning_rate"):
        continue
      for parameter in inspect.signature(one).parameters.values():
        if type(parameter.default) is kind and parameter.name not in OPEN:
          yield name, parameter.name


def test_every_bool_and_choice_of_the_public_api_is_tried():
  """A new one with such a default needs its line in `REST`."""
  for module in (kernels, trainloop):
    for name in module.__all__:
      one = getattr(module, name)
      if not inspect.isclass(one) or name in REST:
        continue
      if issubclass(one, BaseException):
        continue
      for parameter in inspect.signature(one).parameters.values():
        plain = type(parameter.default) in (bool, str)
        assert not plain or parameter.name in OPEN, (name, parameter.name)


@pytest.mark.parametrize(("name", "parameter"), parameters(bool))
def test_what_is_no_bool_is_refused(name, parameter):
  for value in BOOLS:
    with pytest.raises(checks.ArgumentError, match=f"`{parameter}`"):
      make(name, **{parameter: value})


@pytest.mark.parametrize(("name", "parameter"), parameters(str))
def test_what_is_no_choice_is_refused(name, parameter):
  for value in NAMES:
    with pytest.raises(checks.ArgumentError, match=f"`{parameter}`") as error:
      make(name, **{parameter: value})
    text = str(error.value)
    assert parameter in NUMBERS or "one of" in text, text
