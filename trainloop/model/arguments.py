"""A user's model and optimizer as Keras objects, or why they are refused."""

import keras

from kernels import callables, checks
from trainloop.base.seeds import Seeds
from trainloop.model import model_metrics, scheduled_optimizer


def seeds(argument, seed):
  """The `Seeds` of a model that a callable makes; None for a finished one."""
  if isinstance(argument, keras.Model):
    return None
  return Seeds(int(seed))  # `random` takes no number of NumPy's


def model(argument):
  """A keras.Model: the argument itself, or made by calling it.

  Args:
    argument: a keras.Model, or a callable without arguments that makes one.

  Returns:
    The keras.Model.

  Raises:
    ValueError: if it is neither.
  """
  found = argument
  if callable(argument) and not isinstance(argument, keras.Model):
    rule = "a keras.Model, or a callable without arguments that makes one"
    callables.check("model", argument, rule=rule)
    found = argument()
  if not isinstance(found, keras.Model):
    kind = type(found).__name__
    checks.fail("model", kind, "a keras.Model or a callable that makes one")
  return found


def check_training(model, step):
  """Refuses a model that trains its own way, unless there is a `step`."""
  own = model_metrics.overridden(model, *model_metrics.TRAINING)
  if own and step is None:
    rule = f"without a {own[0]} of its own, which the loop would not call"
    checks.fail("model", type(model).__name__, f"{rule}: give it as step=")


def check_evaluation(model):
  """Refuses to evaluate a model that does it its own way."""
  own = model_metrics.overridden(model, *model_metrics.EVALUATING)
  if own:
    rule = f"without a {own[0]} of its own, which the loop would not call"
    more = "put it into compute_metrics, or give step="
    checks.fail("model", type(model).__name__, f"{rule}: {more}")


def optimizer(argument, name="optimizer"):
  """A Keras optimizer: the argument itself, by its name, or made by a call.

  Args:
    argument: what a user gives.
    name: of the argument, for errors.
  """
  if isinstance(argument, str):
    known = sorted(
      name.lower()
      for name, kind in vars(keras.optimizers).items()
      if isinstance(kind, type)
      and issubclass(kind, keras.Optimizer)
      and name not in ("Optimizer", *scheduled_optimizer.REFUSED)
    )
    checks.choice(name, argument.lower(), known)
    return keras.optimizers.get(argument)
  if callable(argument) and not isinstance(
    argument, keras.optimizers.Optimizer
  ):
    rule = "a Keras optimizer, its name, or a callable without arguments"
    callables.check(name, argument, rule=rule)
    return argument()
  return argument
