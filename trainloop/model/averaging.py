"""Averages that the loop itself takes of weights: which, and their state."""

import contextlib
import dataclasses
import typing

import tensorflow as tf

from kernels import checks
from trainloop.model import schedule_free
from trainloop.model.schedule_free import ScheduleFree


@dataclasses.dataclass(frozen=True)
class EMA:
  """An exponential moving average of the weights, after each applied update.

  a <- d a + (1 - d) w, where d is `decay`, or with `warmup` the smaller of
  that and (1 + n) / (10 + n) after n averaged updates: 0.1, 0.18, 0.25, ... An
  update that is refused changes neither a nor n.

  Args:
    decay: d, in [0, 1).
    warmup: whether the first averages forget faster, so that the weights
      before training are soon out of them.

  Raises:
    ValueError: if a field breaks its rule.

  >>> trainloop.EMA(1.0)
  Traceback (most recent call last):
    ...
  kernels.checks.ArgumentError: `decay` must be a number in [0, 1); got 1.0
  """

  decay: float = 0.999
  warmup: bool = True
  by_cycle: typing.ClassVar[bool] = False

  def __post_init__(self):
    rule = "a number in [0, 1)"
    checks.number("decay", self.decay, rule, lambda v: 0 <= v < 1)
    checks.boolean("warmup", self.warmup)

  @property
  def text(self):
    """What it is, in words."""
    warm = ", warmed up" if self.warmup else ""
    return f"of weights, decay {self.decay:g}{warm}"

  def share(self, n):
    """1 - d after n averaged updates; both float64 scalar tensors."""
    own = tf.constant(1.0 - self.decay, tf.float64)
    return tf.maximum(own, 9.0 / (10.0 + n)) if self.warmup else own


@dataclasses.dataclass(frozen=True)
class CycleAverage:
  """The mean of the weights at the ends of a schedule's cycles.

  a <- a + (w - a) / k at the end of the k-th one; before the first the weights
  themselves are judged. Izmailov et al. 2018, "Averaging Weights Leads to
  Wider Optima and Better Generalization" (SWA).

  Args:
    recompute: "statistics" to have those of BatchNormalization computed anew
      for the averaged weights, at each cycle's end in a pass over the training
      data, which must be `ArrayData`: the mean of all batches' in the arrays'
      order, each counted by its examples. None averages them as weights.

  Raises:
    ValueError: if the field breaks its rule.

  >>> trainloop.TrainLoop(model, "sgd", "mse", average=trainloop.CycleAverage(),
  ...     schedule=kernels.CosineRestarts(0.1, 400))  # doctest: +SKIP
  """

  recompute: str | None = None
  by_cycle: typing.ClassVar[bool] = True

  def __post_init__(self):
    if self.recompute not in (None, "statistics"):
      checks.fail("recompute", self.recompute, "'statistics' or None")

  @property
  def text(self):
    """What it is, in words."""
    more = ", statistics computed anew" if self.recompute else ""
    return f"of weights at the ends of cycles{more}"

  def share(self, n):
    """1 / k after n = k - 1 cycles; both float64 scalar tensors."""
    return 1.0 / (1.0 + n)


Option = EMA | CycleAverage | ScheduleFree


def checked(average):
  """What a user gives as `average`.

  Raises:
    ValueError: if it is something else than an option, or None.
  """
  if average is not None and not isinstance(average, Option):
    rule = "a trainloop.EMA, CycleAverage or ScheduleFree, or None"
    checks.fail("average", average, rule)
  return average


def check_optimizer(average, optimizer):
  """Refuses an option that an optimizer does not go with.

  Args:
    average: what a user gives.
    optimizer: a Keras optimizer, which may average by itself.

  Raises:
    ValueError: if both average, or `ScheduleFree` is not for it.
  """
  if average is not None and optimizer.use_ema:
    rule = "None with `use_ema=True` in the optimizer: that averages already"
    checks.fail("average", average, rule)
  if isinstance(average, ScheduleFree):
    schedule_free.check_optimizer(optimizer)


def check_momentum(average, momentum):
  """Refuses a scheduled momentum, float or None, beside `ScheduleFree`."""
  if isinstance(average, ScheduleFree):
    schedule_free.check_momentum(momentum)


def check_data(average, source):
  """Refuses training data whose order can't be repeated beside `recompute`.

  Args:
    average: what a user gives.
    source: the data source of training.

  Raises:
    ValueError: if a pass over it can't be made twice alike.
  """
  if source.arrays is None and getattr(average, "recompute", None):
    rule = "a trainloop.ArrayData with CycleAverage(recompute='statistics')"
    checks.fail("data", type(source).__name__, rule)


class RunningAverage(tf.Module):
  """Averages of some weights, and how many values are in them.

  Made under the strategy's scope. With no value in them they are to be the
  weights themselves: who shows or moves them sees to it.

  Args:
    option: the `EMA` or `CycleAverage`.
    weights: tf.Variables, floats.

  Attributes:
    option: the same.
    values: the averages, tf.Variables of float32 or the weights' own type if
      that is finer.
    count: averaged updates, or cycles: int64 variable.
  """

  def __init__(self, option, weights):
    super().__init__(name="running_average")
    self.option = option
    # A function: a checkpoint must not hold the weights a second time.
    self._weights = lambda: weights
    self.values = [
      tf.Variable(tf.cast(w, _at_least_float32(w.dtype)), trainable=False)
      for w in weights
    ]
    self.count = tf.Variable(0, dtype=tf.int64, trainable=False)

  @property
  def is_empty(self):
    """Whether no value is in them; on the host."""
    return not int(self.count.numpy())

  @property
  def further(self):
    """The tf.Variables beside averages that training goes on from."""
    return [self.count]

  def stepping(self, strategy, optimizer, moves):
    """A context around the trace of an optimizer's update: nothing."""
    del strategy, optimizer, moves
    return contextlib.nullcontext()

  def move(self, values=None, moves=None, accepted=None):
    """Takes the present weights in; in graph, as a replica or all see it.

    Args:
      values, moves: of the update, see `schedule_free`; not looked at.
      accepted: whether it is to, bool tensor; None: it is.
    """
    del values, moves
    share = self.option.share(tf.cast(self.count, tf.float64))
    shares = {dtype: tf.cast(share, dtype) for dtype in self._dtypes}
    for average, weight in zip(self.values, self._weights(), strict=True):
      # Of this form, a weight that stands still has an average that does.
      gap = tf.cast(weight, average.dtype) - average
      step = shares[average.dtype] * gap
      if accepted is None:
        average.assign_add(step)
      else:
        average.assign(tf.where(accepted, average + step, average))
    counts = 1 if accepted is None else tf.cast(accepted, tf.int64)
    self.count.assign_add(counts)

  @property
  def _dtypes(self):
    return dict.fromkeys(average.dtype for average in self.values)


def _at_least_float32(dtype):
  return tf.float32 if dtype.size < tf.float32.size else dtype
