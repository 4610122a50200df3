"""Evaluation in graph, and the metrics that training gathers."""

import keras
import tensorflow as tf

from trainloop import distribution, feed, model_metrics


class Evaluation:
  """A whole evaluation pass in one compiled call; reads training metrics.

  Args:
    strategy: the `tf.distribute.Strategy` of the model.
    step: a `Step`.
    jit: whether XLA compiles the pass.
  """

  def __init__(self, strategy, step, jit=False):
    self._strategy = strategy
    self._step = step
    self._feed = feed.Feed(strategy, jit)

  def __call__(self, source, *where):
    """Evaluates a data source; the training metrics stay as they are.

    Args:
      source, *where: see `Feed`; several blocks of indices count as one pass.

    Returns:
      {metric name: float64 scalar tensor}, "loss" among them.
    """
    return self._feed.call(self._pass, source, *where)

  @tf.function(autograph=False)
  def training_metrics(self, loss):
    """The metrics of training since `reset`, with `loss` as "loss".

    Args:
      loss: float64 scalar.
    """
    return self._of(loss, self._step.read(self._step.metric_state))

  @tf.function(autograph=False)
  def ended_metrics(self, losses, values):
    """The metrics of epochs that have ended; one call for all of them.

    Args:
      losses: float64 (n,), n >= 1: the epochs' mean losses.
      values: what `Step.metric_state` held at each end, stacked.

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
    pairs = zip(self._step.metric_variables, values, strict=True)
    with keras.StatelessScope(state_mapping=list(pairs)):
      return self._results(loss)

  @tf.function(autograph=False)
  def reset(self):
    """Starts the training metrics again from zero."""
    self._strategy.run(self._step.objective.reset)

  def _pass(self, fetch, *where):
    step, run = self._step, self._strategy.run
    kept = run(step.read, args=(step.metric_state,))
    run(step.objective.reset)
    totals = [self._block(fetch, block) for block in where]
    loss_sum, examples = (sum(column) for column in zip(*totals, strict=True))
    results = self._results(loss_sum / tf.cast(examples, tf.float64))
    run(step.write, args=(step.metric_state, kept))
    return results

  def _block(self, fetch, where):
    """Evaluates batches into the metrics.

    Returns:
      (loss_sum, examples): the sum of the examples' losses, float64, and how
      many there were, int64.
    """

    def body(i, loss_sum, examples):
      batch, count = fetch(where, i)
      loss = self._strategy.run(self._step.evaluate, args=(batch, count))
      loss = distribution.first(self._strategy, loss)
      # The mean of an empty batch is NaN and counts nothing.
      weighted = tf.math.multiply_no_nan(
        tf.cast(loss, tf.float64), tf.cast(count, tf.float64)
      )
      return i + 1, loss_sum + weighted, examples + tf.cast(count, tf.int64)

    n = where if where.shape.rank == 0 else tf.shape(where)[0]
    start = (tf.constant(0), tf.zeros([], tf.float64), tf.zeros([], tf.int64))
    _, loss_sum, examples = tf.while_loop(
      lambda i, *_: i < n, body, start, parallel_iterations=1
    )
    return loss_sum, examples

  def _results(self, loss):
    """The model's metrics now, with our mean loss for Keras' tracker."""
    results = model_metrics.expand(self._step.objective.results())
    return {"loss": loss, **{k: results[k] for k in results if k != "loss"}}
