"""Ranges that ids and labels of a batch must lie in, checked in graph.

An alarm is a float64 vector (number of the bound that was broken, counted from
1, and the value that broke it); zeros where all was well. TensorFlow's graph
would raise inside the window, so there values are clipped before they are used.
XLA computes with wrong rows or NaN instead, and the update is refused: clipping
there would change how the loss is rounded, and differently in windows of
different lengths.
"""

import typing

import tensorflow as tf


class ValueRangeError(ValueError):
  """Data out of its range came to an update or a validation.

  Args:
    what: the bound, and the value that broke it, in words.
    step: 0-based global step of the update, which was not applied; None in an
      evaluation.
    batch: 0-based batch of the evaluation; None in an update.
    value: what was out of range.

  Attributes:
    step, batch, value: as they were given.
  """

  def __init__(self, what, value, step=None, batch=None):
    if step is None:
      text = f"batch {batch} of the evaluation has {what}"
    else:
      weights = f"those after step {step - 1}" if step else "the initial ones"
      text = f"update {step} was given {what}"
      text += f"; it was not applied: the weights are {weights}"
    super().__init__(text)
    self.step, self.batch, self.value = step, batch, value


class Bound(typing.NamedTuple):
  """A closed range, and what has to keep it.

  Attributes:
    what: "ids", "labels" ..., a plural.
    where: what they are for, as "the Embedding 'words'".
    low, high: numbers; high may be infinite.
  """

  what: str
  where: str
  low: float
  high: float

  @property
  def rule(self):
    """What the values must be, in words."""
    return f"{self.what} in [{self.low:g}, {self.high:g}] for {self.where}"

  def broken_by(self, value):
    """What a batch had instead, in words."""
    return f"{number(value)} where there must be {self.rule}"


def number(value):
  """A float as text; a whole one without a point."""
  whole = value == value and abs(value) < 2**63 and value % 1 == 0
  return str(int(value)) if whole else f"{value:g}"


class RangeCheck:
  """Checks the values of one traced forward pass.

  Args:
    bounds: the list of `Bound`s met so far, which it adds to: a bound has the
      same number in every trace.
    check_mode: see `check_mode`. If empty no alarm is made; values inside a
      layer's own loop or branch are asserted all the same, because an alarm
      can't leave that inner graph.
  """

  def __init__(self, bounds, check_mode):
    self._bounds, self._check_mode = bounds, check_mode
    self._graph = tf.compat.v1.get_default_graph()
    self._alarms = []

  @property
  def alarm(self):
    """The first alarm of the pass, float64 (2,)."""
    return first([*self._alarms, none()])

  def observe(self, bound, values, ignored=None):
    """Checks some values; traced.

    Args:
      bound: a `Bound`.
      values: a tensor of numbers, dense, ragged or sparse.
      ignored: a value that may be out of range, or None.

    Returns:
      The values, in TensorFlow's graph those out of range clipped into it.
    """
    flat = _flat(values)
    if flat.graph is not self._graph:  # inside a loop or a branch of a layer's
      return _with_flat(values, _asserted(bound, flat))
    if not self._check_mode:
      return values
    if bound not in self._bounds:
      self._bounds.append(bound)
    place = self._bounds.index(bound) + 1
    compared, low, high = _comparable(bound, flat)
    if ignored is not None:
      skipped = tf.equal(compared, tf.cast(ignored, compared.dtype))
      compared = tf.where(skipped, low, compared)
    least, most = tf.reduce_min(compared), tf.reduce_max(compared)
    value = tf.cast(tf.where(most > high, most, least), tf.float64)
    # Of no values the least is the largest number there is, so all is well.
    broken = (least < low) | (most > high)
    alarm = tf.stack([tf.constant(float(place), tf.float64), value])
    self._alarms.append(tf.where(broken, alarm, none()))
    if self._check_mode == "alarm":
      return values
    return _with_flat(values, _clipped(flat, low, high, ignored))


def check_mode(watched, jit):
  """How a forward pass checks its values.

  Args:
    watched: whether it checks them.
    jit: whether XLA compiles it.

  Returns:
    "" not at all, "alarm" in XLA, "clip" in TensorFlow's graph.
  """
  if not watched:
    return ""
  return "alarm" if jit else "clip"


def none():
  """The alarm of a pass without one."""
  return tf.zeros([2], tf.float64)


def first(alarms):
  """The first of some alarms that is one."""
  alarm, *rest = alarms
  for other in rest:
    alarm = tf.where(alarm[0] > 0, alarm, other)
  return alarm


def of_all(alarm, context):
  """One alarm of all replicas; as one replica sees it.

  Args:
    alarm: this replica's.
    context: its `tf.distribute.ReplicaContext`.
  """
  count = context.num_replicas_in_sync
  if count == 1:
    return alarm
  mine = tf.one_hot(context.replica_id_in_sync_group, count, dtype=alarm.dtype)
  table = context.all_reduce("sum", mine[:, None] * alarm)
  return first(tf.unstack(table))


def _comparable(bound, flat):
  """(values, low, high) of one dtype that holds both limits."""
  dtype = flat.dtype
  if dtype.is_floating:
    flat = tf.cast(flat, tf.float32) if dtype.size < 4 else flat
    # Not a number is not in the range, whatever a minimum makes of it.
    flat = tf.where(tf.math.is_nan(flat), float("inf"), flat)
  elif dtype not in (tf.int32, tf.int64):
    flat = tf.cast(flat, tf.int64 if dtype.size > 2 else tf.int32)
  limit = flat.dtype.max
  high = min(bound.high, limit)
  return (
    flat,
    tf.constant(bound.low, flat.dtype),
    tf.constant(high, flat.dtype),
  )


def _clipped(flat, low, high, ignored):
  values = tf.cast(flat, low.dtype)
  clipped = tf.clip_by_value(values, low, high)
  if low.dtype.is_floating:
    clipped = tf.where(tf.math.is_nan(values), low, clipped)
  if ignored is not None:
    skipped = tf.equal(values, tf.cast(ignored, values.dtype))
    clipped = tf.where(skipped, values, clipped)
  return tf.cast(clipped, flat.dtype)


def _asserted(bound, flat):
  """Values that an assertion follows: no alarm gets out of an inner graph."""
  compared, low, high = _comparable(bound, flat)
  good = tf.reduce_all((compared >= low) & (compared <= high))
  check = tf.debugging.Assert(good, [f"there must be {bound.rule}; got", flat])
  with tf.control_dependencies([] if check is None else [check]):
    return tf.identity(flat)


def _flat(values):
  if isinstance(values, tf.RaggedTensor):
    return values.flat_values
  return values.values if isinstance(values, tf.SparseTensor) else values


def _with_flat(values, flat):
  if isinstance(values, tf.RaggedTensor):
    return values.with_flat_values(flat)
  if isinstance(values, tf.SparseTensor):
    return tf.SparseTensor(values.indices, flat, values.dense_shape)
  return flat
