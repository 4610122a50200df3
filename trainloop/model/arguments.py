"""Turns what a user passed into Keras objects and schedules, or refuses it."""

import contextlib
import os

import keras
import tensorflow as tf

import kernels
from kernels import callables, checks
from trainloop.base.seeds import Seeds
from trainloop.devices import strategies
from trainloop.judging.options import EarlyStopping, ReduceOnPlateau
from trainloop.model import model_metrics, scheduled_optimizer
from trainloop.recipes import Recipe

# What Linux takes; a path leaves room for the names of the files inside.
_LONGEST_NAME, _LONGEST_PATH = 255, 3800


def seeds(given, seed):
  """The `Seeds` of a model that a callable makes; None for a given one."""
  seed = checks.integer("seed", seed, 0, 2**32 - 1)
  return None if isinstance(given, keras.Model) else Seeds(seed)


@contextlib.contextmanager
def making(numerics, seeds):
  """In what layers are made: the precision of `Numerics`, and `Seeds` or
  None."""
  seeded = contextlib.nullcontext() if seeds is None else seeds.scope()
  with numerics.scope(), seeded:
    yield


def model(given):
  """A keras.Model: the given one, or made by calling it.

  Args:
    given: a keras.Model, or a callable without arguments that makes one.

  Returns:
    The keras.Model.

  Raises:
    ValueError: if it is neither.
  """
  if callable(given) and not isinstance(given, keras.Model):
    rule = "a keras.Model, or a callable without arguments that makes one"
    callables.check("model", given, rule=rule)
    made = given()
  else:
    made = given
  if not isinstance(made, keras.Model):
    kind = type(made).__name__
    checks.fail("model", kind, "a keras.Model or a callable that makes one")
  return made


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


def workdir(given):
  """The workdir as a path, or None."""
  if given is None:
    return None
  rule = "a local folder's path, or None"
  if not isinstance(given, (str, os.PathLike)):
    checks.fail("workdir", given, rule)
  path = checks.text("workdir", os.fspath(given), rule)
  if "://" in path or "\0" in path:
    checks.fail("workdir", path, rule)
  parts = os.path.abspath(path).encode().split(b"/")
  if max(map(len, parts)) > _LONGEST_NAME:
    rule = f"of names of at most {_LONGEST_NAME} bytes each"
    checks.fail("workdir", path, rule)
  if sum(map(len, parts)) + len(parts) > _LONGEST_PATH:
    rule = f"a path of at most {_LONGEST_PATH} bytes"
    checks.fail("workdir", path, rule)
  return path


def strategy(given):
  """A `tf.distribute.Strategy`: given, by its name, or the one in scope."""
  if isinstance(given, str):
    return strategies.strategy_for(given)
  found = tf.distribute.get_strategy() if given is None else given
  if not isinstance(found, tf.distribute.Strategy):
    checks.fail("strategy", found, "a tf.distribute.Strategy or its name")
  strategies.check(found)
  return found


def optimizer(given):
  """A Keras optimizer: the given one, by its name, or made by a call."""
  if isinstance(given, str):
    known = sorted(
      name.lower()
      for name, kind in vars(keras.optimizers).items()
      if isinstance(kind, type)
      and issubclass(kind, keras.Optimizer)
      and name not in ("Optimizer", *scheduled_optimizer.REFUSED)
    )
    checks.choice("optimizer", given.lower(), known)
    return keras.optimizers.get(given)
  if callable(given) and not isinstance(given, keras.optimizers.Optimizer):
    rule = "a Keras optimizer, its name, or a callable without arguments"
    callables.check("optimizer", given, rule=rule)
    return given()
  return given


def schedule(given):
  """A `kernels.Schedule` or a `Recipe`, or None for None."""
  if given is None or isinstance(given, (kernels.Schedule, Recipe)):
    return given
  if isinstance(given, keras.optimizers.schedules.LearningRateSchedule):
    return kernels.from_keras(given)
  kind = type(given).__name__
  return checks.fail("schedule", kind, "a kernels.Schedule, a Recipe or None")


def own_step(keras_optimizer):
  """The step that an optimizer's own schedule has come to, int: a loaded one
  goes on, as in Keras."""
  own = isinstance(scheduled_optimizer.own_rate(keras_optimizer), float)
  return 0 if own else int(keras_optimizer.iterations.numpy())


def own_schedule(keras_optimizer):
  """The schedule that an optimizer itself brings: its rate, or its own."""
  brought = scheduled_optimizer.own_rate(keras_optimizer)
  if isinstance(brought, float):
    return kernels.Constant(brought)
  return kernels.from_keras(brought)


def judging(early_stopping, reduce_on_plateau):
  """(EarlyStopping or None, ReduceOnPlateau or None), checked."""
  for name, value, kind in (
    ("early_stopping", early_stopping, EarlyStopping),
    ("reduce_on_plateau", reduce_on_plateau, ReduceOnPlateau),
  ):
    if value is not None and not isinstance(value, kind):
      checks.fail(name, value, f"a trainloop.{kind.__name__} or None")
  return early_stopping, reduce_on_plateau


def check_scope(strategy, keras_model, keras_optimizer):
  """Refuses a model or optimizer made outside a multi-replica strategy.

  TensorFlow itself would fail with a bare AssertionError inside the graph.
  """
  if strategy.num_replicas_in_sync == 1:
    return
  for name, variables in (
    ("model", keras_model.variables),
    ("optimizer", keras_optimizer.variables),
  ):
    created = strategy.extended.variable_created_in_scope
    if not all(created(variable.value) for variable in variables):
      kind = type(strategy).__name__
      rule = f"made under the scope of the {kind} (or given as a callable)"
      checks.fail(name, "a finished object", rule)
