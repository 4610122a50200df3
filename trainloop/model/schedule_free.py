"""Schedule-free training: gradients at y, steps at z, judged at their mean x.

  y = (1 - beta) z + beta x,   z <- the optimizer's step from z, with the
  gradient and the weight decay of y,   x <- (1 - c) x + c z,
  c = g_max^2 / sum g_max^2, g_max the highest learning rate so far.

The model holds y while it trains, and x where it is judged and left.
Defazio et al. 2024, "The Road Less Scheduled".
"""

import contextlib
import dataclasses
import typing

import keras
import tensorflow as tf

from kernels import checks

_ABLE = {"SGD": "momentum", "Adam": "beta_1", "AdamW": "beta_1"}


@dataclasses.dataclass(frozen=True)
class ScheduleFree:
  """Schedule-free SGD or AdamW: no decay of the learning rate is needed.

  y = (1 - b) z + b x, z <- z - rate (step(gradient of y) + decay y),
  x <- (1 - c) x + c z with c = g_max^2 / sum g_max^2, over applied updates. The
  mean x is judged and left. In the place of the optimizer's momentum is b, so
  that is to be 0: `SGD(rate)`, `Adam(rate, beta_1=0.0)`, `AdamW(rate,
  beta_1=0.0)`. The rate may rise (a warmup), and must not fall. Epsilon stands
  where Keras has it, outside of Adam's correction of v. Moving statistics are
  those of y, as everything beside trained weights.

  Args:
    beta: b, in [0, 1): how near to their mean gradients are taken.

  Raises:
    ValueError: if the field breaks its rule.

  Defazio et al. 2024, "The Road Less Scheduled", algorithm 1.

  >>> trainloop.ScheduleFree(1)
  Traceback (most recent call last):
    ...
  kernels.checks.ArgumentError: `beta` must be a number in [0, 1); got 1
  """

  beta: float = 0.9
  by_cycle: typing.ClassVar[bool] = False

  def __post_init__(self):
    rule = "a number in [0, 1)"
    checks.number("beta", self.beta, rule, lambda v: 0 <= v < 1)

  @property
  def text(self):
    """What it is, in words."""
    return f"of schedule-free steps, beta {self.beta:g}"


def check_optimizer(optimizer):
  """Refuses an optimizer that `ScheduleFree` is not for.

  Args:
    optimizer: a Keras optimizer.

  Raises:
    ValueError: if it is another, or has a momentum of its own.
  """
  kind = type(optimizer).__name__
  own = getattr(keras.optimizers, kind, None)
  if kind not in _ABLE or type(optimizer) is not own:
    rule = f"one of {', '.join(_ABLE)} with `average=ScheduleFree()`"
    checks.fail("optimizer", kind, rule)
  name = _ABLE[kind]
  if getattr(optimizer, name):
    rule = "0 with `average=ScheduleFree()`, whose beta is in its place"
    rule = f"{rule}: {kind}(..., {name}=0.0)"
    checks.fail(f"optimizer.{name}", getattr(optimizer, name), rule)


def check_momentum(momentum):
  """Refuses a scheduled momentum, a float or None for none."""
  if momentum is not None:
    rule = "without momentum with `average=ScheduleFree()`, whose beta is fixed"
    checks.fail("schedule", f"one that moves momentum ({momentum:g})", rule)


class Iterates(tf.Module):
  """z and x of some weights that hold y; made under the strategy's scope.

  Args:
    option: the `ScheduleFree`.
    weights: tf.Variables of float32 or finer, the model's trainable ones in
      their order.

  Attributes:
    option: the same.
    values: x, a tf.Variable each.
    count: applied updates, int64 variable.
  """

  def __init__(self, option, weights):
    super().__init__(name="schedule_free")
    for weight in weights:
      if weight.dtype.size < tf.float32.size:
        rule = "float32 weights with `average=ScheduleFree()`"
        checks.fail("model", weight.dtype.name, rule)
    self.option = option
    # A function: a checkpoint must not hold the weights a second time.
    self._weights = lambda: weights
    self.values = [tf.Variable(w, trainable=False) for w in weights]
    self._steps = [tf.Variable(w, trainable=False) for w in weights]
    self._peak = tf.Variable(0.0, trainable=False)
    self._total = tf.Variable(0.0, dtype=tf.float64, trainable=False)
    self.count = tf.Variable(0, dtype=tf.int64, trainable=False)

  @property
  def is_empty(self):
    """Whether no update is in them; on the host."""
    return not int(self.count.numpy())

  @property
  def further(self):
    """The tf.Variables beside x that training goes on from."""
    return [self.count, self._peak, self._total, *self._steps]

  def begin(self):
    """Has z begin anew at the weights, as x does; in graph, cross-replica."""
    for variable in (self.count, self._peak, self._total):
      variable.assign(tf.zeros_like(variable))
    for weight, step, _ in self._all():
      step.assign(weight)

  @contextlib.contextmanager
  def stepping(self, strategy, optimizer, moves):
    """While an optimizer's update is traced: it starts at z, decays by y.

    Args:
      strategy: the `tf.distribute.Strategy`.
      optimizer: a Keras optimizer.
      moves: the `Moves` of the weights.
    """
    strategy.run(self._lead, args=(moves,))
    # Private, as in `group_steps`, whose stand-in calls this one.
    own = vars(optimizer)
    own["_apply_weight_decay"] = lambda variables: self._decay(
      optimizer, variables
    )
    try:
      yield
    finally:
      own.pop("_apply_weight_decay")

  def _lead(self, moves):
    """Puts z into weights that are going to move; in graph, as a replica."""
    for i, (weight, step, _) in enumerate(self._all()):
      if i in moves.frozen:
        continue
      active = moves.active.get(i)
      weight.assign(
        step
        if active is None
        else tf.where(active, step.read_value(), weight.read_value())
      )

  def _decay(self, optimizer, variables):
    """Keras' decoupled decay with y on its right side; as a replica."""
    if optimizer.weight_decay is None:
      return
    places = {
      optimizer._var_key(one): one
      for one in variables
      if optimizer._use_weight_decay(one)
    }
    for weight, step, mean in self._all():
      if optimizer._var_key(weight) in places:
        rate = tf.cast(optimizer.learning_rate, weight.dtype)
        decay = tf.cast(optimizer.weight_decay, weight.dtype)
        weight.assign_sub(self._between(step, mean) * decay * rate)

  def move(self, values, moves, accepted=None):
    """Takes what the optimizer left in the weights as z; leaves y in them.

    Args:
      values: {name: float32 scalar} of the update, the learning rate.
      moves: the `Moves` of the weights.
      accepted: whether the update was applied, bool tensor; None: it was.
    """
    peak = tf.maximum(self._peak, values["learning_rate"])
    part = tf.square(tf.cast(peak, tf.float64))
    total = self._total + part
    share = tf.math.divide_no_nan(part, total)
    _put(accepted, self._peak, peak)
    _put(accepted, self._total, total)
    for i, (weight, step, mean) in enumerate(self._all()):
      if i in moves.frozen:
        continue
      valid = _both(accepted, moves.active.get(i))
      moved = weight.read_value()
      average = mean + tf.cast(share, mean.dtype) * (moved - mean)
      _put(valid, step, moved)
      _put(valid, mean, average)
      _put(valid, weight, self._between(moved, average))
    counts = 1 if accepted is None else tf.cast(accepted, tf.int64)
    self.count.assign_add(counts)

  def _between(self, step, mean):
    """y; of this form it is z where x is."""
    return step + tf.constant(self.option.beta, mean.dtype) * (mean - step)

  def _all(self):
    """(weight, z, x) of each."""
    return zip(self._weights(), self._steps, self.values, strict=True)


def _both(one, other):
  """Whether both hold; None stands for what holds."""
  if one is None or other is None:
    return other if one is None else one
  return one & other


def _put(valid, variable, value):
  """Assigns a value where it is `valid`."""
  if valid is not None:
    value = tf.where(valid, value, variable.read_value())
  variable.assign(value)
