"""Hyperparameters, the Schedule base class, and tabulate()."""

import dataclasses
import functools
import typing

import numpy as np
import tensorflow as tf

from kernels import callables, checks, states
from kernels.steps import Steps

# Steps of one call of `tabulate`: large enough to amortise a call (0.3 ms),
# small enough that the float64 temporaries, 2 MB each, stay near the caches.
_BLOCK = 1 << 18
_MOST = 1 << 31  # steps of a table: 24 GB of values and steps


class Hyperparameters(typing.NamedTuple):
  """What a schedule gives for a step.

  Attributes:
    learning_rate: float32 tensor of the shape of the step, >= 0.
    momentum: likewise, in [0, 1); None leaves the optimizer's own alone.
  """

  learning_rate: tf.Tensor
  momentum: tf.Tensor | None = None


@dataclasses.dataclass(frozen=True)
class Schedule:
  """Base of schedules: a frozen dataclass of plain numbers, called in graph.

  A subclass checks its fields in `__post_init__` and writes `compute(step)`,
  pure float64 algebra without variables or Python branches on tensors.

  Attributes:
    total_steps: steps until the last value is held, an int; None for endless.
    overrun: whether a run may be longer than `total_steps`.
  """

  # No default for total_steps here: a subclass's field would inherit it.
  overrun: typing.ClassVar[bool] = True

  def __init_subclass__(cls, **options):
    super().__init_subclass__(**options)
    # The `__eq__` that `dataclass` makes compares fields alone, not what else
    # an instance holds; it keeps an `__eq__` that the class has already.
    if "__eq__" not in vars(cls):
      cls.__eq__, cls.__hash__ = Schedule.__eq__, Schedule.__hash__

  def __eq__(self, other):
    if type(self) is not type(other):
      return NotImplemented
    return self is other or states.of_object(self) == states.of_object(other)

  def __hash__(self):
    return hash(states.of_object(self))

  def compute(self, step):
    """(learning rate, momentum or None) as float64 for int64 steps >= 0."""
    raise TypeError(f"{type(self).__name__} defines no compute()")

  def __call__(self, step):
    """The hyperparameters of update `step`.

    Args:
      step: 0-based step: a Python int, or an int32/int64 tensor or array of
        any shape; a negative step counts as 0.

    Returns:
      `Hyperparameters` of float32 tensors of the shape of `step`; computed in
      float64 and rounded once, so that eager, graph and XLA, scalar and
      vector calls give the same bits. momentum is None where left alone.

    Raises:
      ValueError: if `step` is not of an integer type.
    """
    step = _as_step(step)
    learning_rate, momentum = self._computed(tf.maximum(step, 0))
    name = f"{type(self).__name__}.compute()"
    learning_rate = _as_values(f"{name}[0]", learning_rate, step)
    if momentum is not None:
      momentum = _as_values(f"{name}[1]", momentum, step)
    return Hyperparameters(learning_rate, momentum)

  def _computed(self, step):
    """What `compute` gives, or an error that says what it must give."""
    with callables.compiled(type(self).__name__):
      values = self.compute(step)
    if not isinstance(values, tuple) or len(values) != 2:
      name = f"{type(self).__name__}.compute()"
      rule = "a pair (learning rate, momentum or None)"
      checks.fail(name, type(values).__name__, rule)
    return values

  @functools.cached_property
  def moves_momentum(self):
    """Whether the schedule sets momentum, a bool."""
    with tf.init_scope():
      return self(0).momentum is not None

  @property
  def warmup_end(self):
    """The step at which a rise at the start is over, an int; 0: no rise."""
    return 0

  def cycle_starts(self, steps):
    """The steps in [1, steps) at which a new cycle starts, ascending: `Steps`,
    or a list of ints."""
    del steps
    return Steps()

  def corners(self, steps):
    """The steps in [1, steps) from which another formula holds, so that the
    curve may jump to them or bend there: `Steps` or lists, none or more.

    Between two of them it is smooth. By default the starts of cycles and the
    end; what is not named is searched for where a plan is drawn.
    """
    end = getattr(self, "total_steps", None)  # a user's may have none
    known = end is not None and 0 < end < steps
    return [Steps.of(self.cycle_starts(steps)), Steps([end] if known else [])]

  def to_config(self):
    """The schedule as a dict of JSON types; `from_config` takes it back."""
    fields = {
      field.name: _to_json(getattr(self, field.name))
      for field in dataclasses.fields(self)
    }
    return {"kernel": type(self).__name__, **fields}

  @property
  def foreign(self):
    """Names of the schedule classes in it that users wrote, a list.

    Their config may leave out what their values depend on.
    """
    kind, home = type(self), __name__.partition(".")[0]
    ours = kind.__module__.partition(".")[0] == home
    names = [] if ours else [kind.__name__]
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      for one in value if isinstance(value, (tuple, list)) else [value]:
        names += one.foreign if isinstance(one, Schedule) else []
    return names

  def set_fields(self, **values):
    """For `__post_init__`: stores checked values in the frozen fields."""
    for name, value in values.items():
      object.__setattr__(self, name, value)


def from_config(config):
  """The schedule that `schedule.to_config()` describes.

  Args:
    config: a dict with "kernel" and that kernel's fields.

  Returns:
    A `Schedule` equal to the one the config was taken from.

  Raises:
    ValueError: if the kernel is unknown or a field is bad.

  >>> config = kernels.Linear(0.1, 0.0, 100).to_config()
  >>> config
  {'kernel': 'Linear', 'initial_lr': 0.1, 'final_lr': 0.0, 'total_steps': 100}
  >>> kernels.from_config(config)
  Linear(initial_lr=0.1, final_lr=0.0, total_steps=100)
  """
  config = dict(config)
  known = {kind.__name__: kind for kind in _subclasses(Schedule)}
  name = checks.choice("kernel", config.pop("kernel", None), sorted(known))
  known_fields = {field.name for field in dataclasses.fields(known[name])}
  for key in config:
    checks.choice(f"field of {name}", key, sorted(known_fields))
  try:
    return known[name](**{k: _from_json(v) for k, v in config.items()})
  except TypeError as error:  # a field is missing
    raise checks.ArgumentError(f"`config` is not whole: {error}") from error


@callables.public
def tabulate(schedule, steps):
  """Evaluates a schedule for many steps, in graph, in blocks.

  Not under XLA, whose compilation and linear search of a table of restarts
  cost seconds for ten million steps; the bits are the same.

  Args:
    schedule: a `Schedule`.
    steps: an int n, meaning the steps 0 .. n-1, or an integer array.

  Returns:
    NumPy (learning_rate, momentum), float32 of the shape of the steps;
    momentum is None where the schedule leaves it alone.

  Raises:
    ValueError: if `steps` is negative or not of an integer type.

  >>> rates, momenta = kernels.tabulate(kernels.Linear(0.1, 0.0, 4), 5)
  >>> rates, momenta
  (array([0.1  , 0.075, 0.05 , 0.025, 0.   ], dtype=float32), None)
  """
  if isinstance(steps, (int, np.integer)) and not isinstance(steps, bool):
    count = checks.integer("steps", steps, 0, _MOST)
    steps = np.arange(count, dtype=np.int64)
  steps = np.asarray(steps)
  if not np.issubdtype(steps.dtype, np.integer):
    checks.fail("steps", steps.dtype, "an int or an array of integers")
  if steps.dtype == np.uint64 and (steps >= 1 << 63).any():
    checks.fail("steps", int(steps.max()), "of integers below 2^63")
  flat = steps.reshape(-1).astype(np.int64)
  graph = _graph(schedule)
  blocks = [
    [_column(schedule, value, block) for value in graph(block)]
    for block in np.split(flat, range(_BLOCK, flat.size, _BLOCK))
  ]
  columns = [
    None if column[0] is None else np.concatenate(column).reshape(steps.shape)
    for column in zip(*blocks, strict=True)
  ]
  return tuple(columns)


def _column(schedule, value, steps):
  """What a schedule gave for some steps as an array, or None."""
  if value is not None and value.shape != steps.shape:
    name = f"{type(schedule).__name__}.compute()"
    rule = f"of the shape of `step`, {steps.shape}"
    checks.fail(name, tuple(value.shape), rule)
  return None if value is None else value.numpy()


@functools.lru_cache(64)
def _graph(schedule):
  """A schedule compiled for vectors of steps; traced once for equal ones."""
  return tf.function(
    schedule,
    autograph=False,
    input_signature=[tf.TensorSpec([None], tf.int64)],
  )


def _as_step(step):
  if isinstance(step, (int, np.integer)) and not isinstance(step, bool):
    step = checks.integer("step", max(0, int(step)), 0, (1 << 63) - 1)
    return tf.constant(step, tf.int64)
  try:
    step = tf.convert_to_tensor(step)
  except (TypeError, ValueError):
    checks.fail("step", step, "an int, or int32 or int64 numbers")
  if step.dtype not in (tf.int32, tf.int64):
    checks.fail("step", step.dtype.name, "of type int32 or int64")
  return tf.cast(step, tf.int64)


def _as_values(name, value, step):
  """What was computed for some steps as float32, a number each."""
  try:
    value = tf.convert_to_tensor(value)
  except (TypeError, ValueError):
    checks.fail(name, value, "a tensor of real numbers")
  if not (value.dtype.is_floating or value.dtype.is_integer):
    checks.fail(name, value.dtype.name, "of a real dtype, as float64")
  if not value.shape.is_compatible_with(step.shape):
    rule = f"of the shape of `step`, {tuple(step.shape)}; for a constant "
    rule += "`tf.fill(tf.shape(step), value)`"
    checks.fail(name, tuple(value.shape), rule)
  return tf.cast(value, tf.float32)


def check_schedule(name, value):
  """Returns `value` if it is a `Schedule`, or raises."""
  if not isinstance(value, Schedule):
    checks.fail(name, value, "a kernels.Schedule")
  return value


def _subclasses(kind):
  for one in kind.__subclasses__():
    yield one
    yield from _subclasses(one)


def _to_json(value):
  if isinstance(value, Schedule):
    return value.to_config()
  if isinstance(value, (tuple, list)):
    return [_to_json(one) for one in value]
  return value


def _from_json(value):
  if isinstance(value, dict) and "kernel" in value:
    return from_config(value)
  if isinstance(value, list):
    return tuple(_from_json(one) for one in value)
  return value
