"""Evaluation in graph, and the metrics that training gathers."""

import math
import typing

import keras
import tensorflow as tf

from trainloop.compiled import replica as replica_lib
from trainloop.compiled.batches import Feed
from trainloop.devices import strategies
from trainloop.model import bounds, model_metrics


class EvaluationResult(typing.NamedTuple):
  """The result of an evaluation pass.

  Attributes:
    values: {metric name: float64 scalar tensor}, "loss" among them; NaN if the
      pass had no example.
    examples: those that were read, int64 scalar tensor.
  """

  values: dict
  examples: typing.Any


class Evaluation:
  """A whole evaluation pass in one compiled call; reads training metrics.

  Args:
    strategy: the `tf.distribute.Strategy` of the model.
    replica: a `Replica`.
    jit: whether XLA compiles the pass, where it can.
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
    if not watched:
      return self._feed.call(self._pass, parts)
    measured, count, alarm = self._feed.call(self._watched, parts)
    broken = self._replica.range_checks.broken(alarm.numpy())
    if broken:
      raise bounds.ValueRangeError(*broken, batch=int(count) - 1)
    return measured

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

  def _pass(self, *parts):
    return self._whole(parts, None)[0]

  def _watched(self, *parts):
    return self._whole(parts, bounds.none())

  def _whole(self, parts, alarm):
    """One pass: (`EvaluationResult`, batches read, alarm).

    Args:
      parts: a `Batches` for each part of the pass.
      alarm: `bounds.none()` to check ids and labels, None not to.
    """
    replica, run = self._replica, self._strategy.run
    training = run(replica_lib.read, args=(replica.metric_state,))
    run(replica.objective.reset)
    totals, read = [], 0
    for batches in parts:
      *total, done, alarm = self._part(batches, alarm)
      totals, read = [*totals, total], read + done
    loss_sum, examples = (sum(column) for column in zip(*totals, strict=True))
    results = self._results(loss_sum / tf.cast(examples, tf.float64))
    results = {
      # A metric that has counted nothing reads 0, the best of errors.
      name: tf.where(examples > 0, tf.cast(value, tf.float64), math.nan)
      for name, value in results.items()
    }
    run(replica_lib.write, args=(replica.metric_state, training))
    return EvaluationResult(results, examples), read, alarm

  def _part(self, batches, alarm):
    """Evaluates batches into the metrics, up to one that gives an alarm.

    Returns:
      (loss_sum, examples, done, alarm): the sum of the examples' losses,
      float64, how many there were, int64, in how many batches.
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

    def body(i, more, *sums):
      if not batches.ends:
        return i + 1, more, *evaluated(*batches(i), *sums)
      more, batch = batches.ahead()
      sums = tf.cond(more, lambda: evaluated(*batch(), *sums), lambda: sums)
      return i + tf.cast(more, tf.int32), more, *sums

    def goes_on(i, more, loss_sum, examples, alarms):
      del loss_sum, examples
      more = more & (i < n)
      return more & (alarms[0][0] == 0) if watched else more

    n = batches.length
    sums = (tf.zeros([], tf.float64), tf.zeros([], tf.int64))
    start = (tf.constant(0), True, *sums, [alarm] if watched else [])
    i, _, loss_sum, examples, alarms = tf.while_loop(
      goes_on, body, start, parallel_iterations=1
    )
    return loss_sum, examples, i, alarms[0] if watched else None

  def _results(self, loss):
    """The model's metrics now, with our mean loss for Keras' tracker."""
    results = model_metrics.expand(self._replica.objective.results())
    return {"loss": loss, **{k: results[k] for k in results if k != "loss"}}
