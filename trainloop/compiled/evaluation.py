"""Evaluation in graph, and the metrics that training gathers."""

import math
import typing

import keras
import numpy as np
import tensorflow as tf

from trainloop.compiled import passes
from trainloop.compiled import replica as replica_lib
from trainloop.compiled.batches import Feed
from trainloop.devices import strategies
from trainloop.model import bounds, model_metrics

# Loss, examples and batches of a pass that has not begun.
_NOTHING = (np.float64(0.0), np.int64(0), np.int32(0))


class EvaluationResult(typing.NamedTuple):
  """The result of an evaluation pass.

  Attributes:
    values: {metric name: float64 scalar tensor}, "loss" among them; NaN if the
      pass had no example.
    examples: those that were read, int64 scalar tensor.
  """

  values: dict
  examples: typing.Any


class _Sums(typing.NamedTuple):
  """What a pass has read so far.

  Attributes:
    loss: sum of the examples' losses, float64 scalar.
    examples: how many there were, int64 scalar.
    batches: in how many batches, int32 scalar.
    alarm: see `bounds`.
  """

  loss: typing.Any
  examples: typing.Any
  batches: typing.Any
  alarm: typing.Any


class Evaluation:
  """Evaluation passes, a compiled call a part; reads training metrics.

  Args:
    strategy: the `tf.distribute.Strategy` of the model.
    replica: a `Replica`.
    jit: whether XLA compiles the parts, where it can.
  """

  def __init__(self, strategy, replica, jit=False):
    self._strategy = strategy
    self._replica = replica
    self._feed = Feed(strategy, jit, gives_way=True)

  def __call__(self, parts, watched=False):
    """Evaluates a data source; the training metrics stay as they are.

    Args:
      parts: the parts of one pass, as the source's `evaluation` returns them.
      watched: whether to check that ids and labels are in range.

    Returns:
      A `EvaluationResult`.

    Raises:
      ValueRangeError: for the first batch with values out of range.
    """
    body = self._watched if watched else self._plain
    sums = _Sums(*map(tf.constant, _NOTHING), bounds.none())
    training = self._training_state()
    try:
      self.reset()
      for part in parts:
        full, n = part.padded(part.room), tf.constant(part.length)
        sums = _Sums(*self._feed.call(body, full, n, *sums))
        broken = watched and self._replica.range_checks.broken(
          sums.alarm.numpy()
        )
        if broken:
          raise bounds.ValueRangeError(*broken, batch=int(sums.batches) - 1)
      return EvaluationResult(
        self._measured(sums.loss, sums.examples), sums.examples
      )
    finally:  # also where the host is interrupted between two calls
      self._put_back(training)

  def compile(self, parts, watched=False):
    """Traces and compiles it for such parts; nothing is evaluated.

    Args: as in `__call__`.
    """
    body = self._watched if watched else self._plain
    none, sums = tf.constant(0), map(tf.constant, _NOTHING)
    sums = [*sums, bounds.none()]
    for part in parts:
      self._feed.call(body, part.padded(part.room), none, *sums)

  @property
  def traces(self):
    """How often a part was traced."""
    return self._feed.traces(self._plain) + self._feed.traces(self._watched)

  @tf.function(autograph=False)
  def training_metrics(self, loss):
    """The metrics of training since `reset`, with `loss` as "loss".

    Args:
      loss: float64 scalar.
    """
    return self._of(loss, replica_lib.read(self._replica.metric_state))

  @tf.function(autograph=False)
  def ended_metrics(self, losses, values):
    """The metrics of epochs that have ended; one call for all of them.

    Args:
      losses: float64 (n,), n >= 1: the epochs' mean losses.
      values: what `Replica.metric_state` held at each end, stacked.

    Returns:
      {metric name: float64 (n,)}.
    """
    specs = [tf.TensorSpec([], tf.float64)]
    specs += [tf.TensorSpec(value.shape[1:], value.dtype) for value in values]
    of = tf.function(lambda one: self._of(one[0], one[1:]), autograph=False)
    names = of.get_concrete_function(specs).structured_outputs
    signature = {name: tf.TensorSpec([], tf.float64) for name in names}
    return tf.map_fn(of, [losses, *values], fn_output_signature=signature)

  def _of(self, loss, values):
    """Results with a loss and a state of the metrics, as `metric_state`."""
    pairs = zip(self._replica.objective.variables, values, strict=True)
    with keras.StatelessScope(state_mapping=list(pairs)):
      return self._results(loss)

  @tf.function(autograph=False)
  def reset(self):
    """Starts the training metrics again from zero."""
    self._strategy.run(self._replica.objective.reset)

  @tf.function(autograph=False)
  def _training_state(self):
    """The state of the training metrics, on each replica."""
    state = self._replica.metric_state
    return self._strategy.run(replica_lib.read, args=(state,))

  @tf.function(autograph=False)
  def _put_back(self, training):
    state = self._replica.metric_state
    self._strategy.run(replica_lib.write, args=(state, training))

  @tf.function(autograph=False)
  def _measured(self, loss_sum, examples):
    """{metric name: value} of the pass."""
    results = self._results(loss_sum / tf.cast(examples, tf.float64))
    return {
      # A metric that has counted nothing reads 0, the best of errors.
      name: tf.where(examples > 0, tf.cast(value, tf.float64), math.nan)
      for name, value in results.items()
    }

  def _plain(self, batches, n, loss_sum, examples, read, alarm):
    """One part, added to the sums so far: `_Sums`, flat."""
    *sums, done, _ = self._part(batches, n, loss_sum, examples, None)
    return *sums, read + done, alarm

  def _watched(self, batches, n, loss_sum, examples, read, alarm):
    """As `_plain`, up to a batch that gives an alarm."""
    *sums, done, alarm = self._part(batches, n, loss_sum, examples, alarm)
    return *sums, read + done, alarm

  def _part(self, batches, n, loss_sum, examples, alarm):
    """Evaluates batches into the metrics, up to one that gives an alarm.

    Args:
      batches: the `Batches`.
      n: how many of them there are, int32 scalar.
      loss_sum, examples: see `_Sums`.
      alarm: None not to look at ids and labels.

    Returns:
      (loss_sum, examples, done, alarm): the sums, these batches added; how
      many were read.
    """
    watched = alarm is not None

    def evaluated(batch, count, loss_sum, examples, alarms):
      args = (batch, count, bounds.check_mode(watched, jit=False))
      loss, alarm = self._strategy.run(self._replica.evaluate, args=args)
      loss, count = strategies.first(self._strategy, loss), count.examples
      alarms = [strategies.first(self._strategy, alarm) for _ in alarms]
      # The mean of an empty batch is NaN and counts nothing.
      weighted = tf.math.multiply_no_nan(
        tf.cast(loss, tf.float64), tf.cast(count, tf.float64)
      )
      examples += tf.cast(count, tf.int64)
      return loss_sum + weighted, examples, alarms

    def silent(loss_sum, examples, alarms):
      del loss_sum, examples
      return alarms[0][0] == 0

    sums = (loss_sum, examples, [alarm] if watched else [])
    i, loss_sum, examples, alarms = passes.fold(
      batches, n, evaluated, sums, silent if watched else None
    )
    return loss_sum, examples, i, alarms[0] if watched else None

  def _results(self, loss):
    """The model's metrics now, with our mean loss for Keras' tracker."""
    results = model_metrics.expand(self._replica.objective.results())
    return {"loss": loss, **{k: results[k] for k in results if k != "loss"}}
