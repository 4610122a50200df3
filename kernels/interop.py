"""Keras' schedules as kernels, kernels in Keras, and functions of the epoch."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from kernels import (
  base,
  callables,
  checks,
  decay,
  keras_formulas,
  piecewise,
  states,
)

_KERAS = keras.optimizers.schedules
states.of.register(_KERAS.LearningRateSchedule)(states.of_object)
_MOST_EPOCHS = 10**6  # a function is asked for each of them, one by one


@dataclasses.dataclass(frozen=True)
class KerasSchedule(base.Schedule):
  """Any Keras schedule, and a momentum that it hasn't got itself.

  Where no kernel has the same formula Keras evaluates it, in float32; unlike
  a kernel's, its bits may then differ between graph and XLA.

  Args:
    keras_schedule: a `keras.optimizers.schedules.LearningRateSchedule`, or
      its `keras.optimizers.schedules.serialize`d dict.
    momentum: coefficient in [0, 1), or None to leave momentum alone.

  Raises:
    ValueError: if a field breaks its rule.
  """

  keras_schedule: object
  momentum: float | None = None

  total_steps = None

  def __post_init__(self):
    given = self.keras_schedule
    if isinstance(given, dict) and "class_name" in given:
      given = _KERAS.deserialize(given)
    if not isinstance(given, _KERAS.LearningRateSchedule):
      kind = type(given).__name__
      checks.fail("keras_schedule", kind, "a Keras LearningRateSchedule")
    _check_rates(given)
    momentum = checks.coefficient("momentum", self.momentum)
    self.set_fields(keras_schedule=given, momentum=momentum)

  def to_config(self):
    given = _serialize(self.keras_schedule)
    return {**super().to_config(), "keras_schedule": given}

  def __repr__(self):
    given = _serialize(self.keras_schedule)
    return f"KerasSchedule(keras_schedule={given}, momentum={self.momentum})"

  @property
  def foreign(self):
    known = _translate(self.keras_schedule)
    if known is not None:
      return super().foreign + known.foreign
    kind = type(self.keras_schedule)
    theirs = kind is getattr(_KERAS, kind.__name__, None)
    return super().foreign + ([] if theirs else [kind.__name__])

  def compute(self, step):
    found = _translate(self.keras_schedule)
    if found is not None:
      rates, _ = found.compute(step)
    elif step.shape.rank == 0:
      rates = tf.cast(self._ask_keras(step), tf.float64)
    else:
      # A Keras schedule promises nothing about vectors.
      spec = tf.TensorSpec([], tf.float32)
      flat = tf.reshape(step, [-1])
      each = tf.map_fn(self._ask_keras, flat, fn_output_signature=spec)
      rates = tf.cast(tf.reshape(each, tf.shape(step)), tf.float64)
    momentum = None
    if self.momentum is not None:
      momentum = self.momentum * tf.ones_like(rates)
    return rates, momentum

  def corners(self, steps):
    found = _translate(self.keras_schedule)
    return (super() if found is None else found).corners(steps)

  def _ask_keras(self, step):
    with callables.compiled("keras_schedule"):
      return tf.cast(self.keras_schedule(step), tf.float32)


@keras.saving.register_keras_serializable(package="trainloop")
class KernelSchedule(_KERAS.LearningRateSchedule):
  """A kernel's learning rate as a Keras schedule; see `as_keras`.

  Args:
    schedule: a `Schedule`, or its config.
  """

  def __init__(self, schedule):
    if isinstance(schedule, dict):
      schedule = base.from_config(schedule)
    self.schedule = base.check_schedule("schedule", schedule)

  def __call__(self, step):
    step = keras.ops.cast(keras.ops.convert_to_tensor(step), "int64")
    return self.schedule(step).learning_rate

  def get_config(self):
    return {"schedule": self.schedule.to_config()}


def as_keras(schedule):
  """A Keras schedule with a kernel's learning rates, for `model.compile`.

  `keras.optimizers.SGD(kernels.as_keras(schedule))` uses schedule(t) at
  update t. Keras has no place for a scheduled momentum: it is left out.

  Args:
    schedule: a `Schedule`.

  Returns:
    A `keras.optimizers.schedules.LearningRateSchedule` that is saved and
    loaded with its model; loading needs `import kernels`.

  Raises:
    ValueError: if it is no `Schedule`.

  >>> rates = kernels.as_keras(kernels.Linear(0.1, 0.0, 100))
  >>> optimizer = keras.optimizers.SGD(rates)
  >>> float(rates(100))
  0.0
  """
  return KernelSchedule(schedule)


@callables.public
def from_keras(keras_schedule, momentum=None):
  """The kernel with a Keras schedule's values, exact where Keras rounds.

  A restart falls on the exact step, where Keras' float logarithm misses some.

  Args:
    keras_schedule: a `keras.optimizers.schedules.LearningRateSchedule`.
    momentum: coefficient in [0, 1) to set at every step, or None to leave
      momentum alone.

  Returns:
    A kernel; a `KerasSchedule` where no kernel has the same formula, or where
    a momentum is asked for.

  Raises:
    ValueError: if it is no Keras schedule, or has values no rate may have.

  >>> theirs = keras.optimizers.schedules.CosineDecayRestarts(0.1, 390)
  >>> kernels.from_keras(theirs)([0, 390, 1170]).learning_rate.numpy()
  array([0.1, 0.1, 0.1], dtype=float32)
  """
  if momentum is None:
    found = _translate(keras_schedule)
    if found is not None:
      return found
  return KerasSchedule(keras_schedule, momentum)


@callables.public
def from_function(fn, epochs, steps_per_epoch, initial_lr=None):
  """A `LearningRateScheduler` function as a table of one rate an epoch.

  The function is called once an epoch here and never again; the rate is
  looked up in graph. After the last epoch its rate is held.

  Args:
    fn: a function of the epoch, or of (epoch, lr) where lr is the previous
      epoch's rate, rounded to float32 as Keras would pass it.
    epochs: how many epochs to ask for, int >= 1.
    steps_per_epoch: updates of an epoch, int >= 1.
    initial_lr: lr of the first call, for a function that needs one.

  Returns:
    A `PiecewiseConstant`, or a `Constant` if the rate never changes.

  Raises:
    ValueError: if an argument breaks its rule, or the function does not
      return a finite rate >= 0.

  >>> kernels.from_function(lambda epoch: 0.1 / 2**epoch, 3, 100)
  PiecewiseConstant(boundaries=(100, 200), values=(0.1, 0.05, 0.025))
  """
  check_function(fn)
  epochs = checks.integer("epochs", epochs, 1, _MOST_EPOCHS)
  length = checks.integer("steps_per_epoch", steps_per_epoch, 1)
  rate = initial_lr
  if rate is not None:
    rate = checks.rate("initial_lr", rate)
  takes_rate = _takes_rate(fn, rate)
  values, boundaries = [], []
  for epoch in range(epochs):
    asked = fn(epoch, float(np.float32(rate))) if takes_rate else fn(epoch)
    rate = checks.rate(f"fn({epoch})", asked)
    if not values or rate != values[-1]:
      values.append(rate)
      boundaries.append(epoch * length)
  if len(values) == 1:
    return decay.Constant(rate)
  return piecewise.PiecewiseConstant(boundaries[1:], values)


def check_function(fn):
  """Refuses what is no function of the epoch, or of (epoch, lr)."""
  rule = "a function of the epoch, or of (epoch, lr)"
  if not callable(fn) or not callables.takes(fn, 0):
    callables.check("fn", fn, 0, 0.0, rule=rule)


def _takes_rate(fn, initial_lr):
  """Whether fn is to be called as fn(epoch, lr)."""
  check_function(fn)
  if callables.hides(fn):
    return initial_lr is not None
  if initial_lr is None and callables.takes(fn, 0):
    return False
  if not callables.takes(fn, 0, 0.0):
    return False
  if initial_lr is None:
    checks.fail("initial_lr", None, "given for a function of (epoch, lr)")
  return True


def _check_rates(schedule):
  """Refuses a Keras schedule that gives no rates, or can't be compiled."""
  name = "keras_schedule"
  callables.check(
    name, schedule, 0, rule="a Keras schedule, called with a step"
  )
  with callables.compiled(name):
    first = schedule(0)
    try:
      first = float(first)
    except (TypeError, ValueError):
      checks.fail(f"{name}(0)", first, "a number")
    checks.rate(f"{name}(0)", first)
    # Some of what only a compiled call may not do.
    spec = tf.TensorSpec([], tf.int64)
    tf.function(schedule, autograph=False).get_concrete_function(spec)


def _translate(keras_schedule):
  """The kernel of the same values, or None."""
  kind = type(keras_schedule)
  if kind is KernelSchedule:
    return keras_schedule.schedule
  translate = keras_formulas.TRANSLATIONS.get(kind.__name__)
  if translate is None or kind is not getattr(_KERAS, kind.__name__, None):
    return None
  config = {k: _whole(v) for k, v in keras_schedule.get_config().items()}
  try:
    return translate(**config)
  except checks.ArgumentError:  # steps that are fractions, a rate of decay 0
    return None


def _whole(value):
  """Keras takes 1e3 for a number of steps."""
  if isinstance(value, (list, tuple)):
    return [_whole(one) for one in value]
  whole = isinstance(value, float) and value.is_integer()
  return int(value) if whole else value


def _serialize(keras_schedule):
  """Keras' JSON of a schedule; its class' name if it can't be written."""
  try:
    return _KERAS.serialize(keras_schedule)
  except NotImplementedError:  # a class without get_config
    return f"{type(keras_schedule).__module__}.{type(keras_schedule).__name__}"
