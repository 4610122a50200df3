"""One update, and one evaluation batch, as ONE replica sees it."""

import tensorflow as tf

from trainloop import bounds, layer_states, norms, structures


class Step:
  """The replica's part of an update: forward, loss, gradients, metrics.

  Args:
    model: a compiled and built keras.Model.
    optimizer: its Keras optimizer, for the loss scale that it undoes.
    moving: the model's `Moving` statistics.
    objective: its loss and metrics, see `objective`.
    lookout: the `Lookout` over its batches.

  Attributes:
    weighs: whether a loss counts by its batch's share of the global one.
    folds: whether the gradients' norm is summed for XLA on a CPU; see `norms`.
    metric_variables: Keras variables of the metrics.
    metric_state: their tf.Variables.
    carried: tf.Variables that `layer_states` finds.
    touched: tf.Variables that a forward pass may change.
  """

  weighs = False

  def __init__(self, model, optimizer, moving, objective, lookout):
    self.model, self.moving = model, moving
    self.objective, self.lookout = objective, lookout
    self.folds = False
    self.variables = model.trainable_variables
    self._optimizer = optimizer
    # What a forward pass may change: moving statistics, seeds, and metrics
    # that `compute_loss` updates. A refused update puts these back.
    self.metric_variables = [
      v for metric in objective.metrics for v in metric.variables
    ]
    self.metric_state = [v.value for v in self.metric_variables]
    self.carried = layer_states.of(model)
    self.touched = [
      *distinct([*model.non_trainable_variables, *self.metric_variables]),
      *self.carried,
    ]

  def gradients(self, batch, global_count, scale=None, watched=False):
    """Forward and backward over this replica's share of the batch.

    Args:
      batch: (x, y, sample_weight) of this replica.
      global_count: int32 scalar, examples of the global batch.
      scale: what the loss is multiplied by on the way back, float32 scalar;
        None for 1.
      watched: whether to look whether ids and labels are in range.

    Returns:
      (gradients, loss, norm, outputs, alarm): gradients and loss summed over
      all replicas, the norm of the unscaled gradients, float32 scalars; what
      `count` counts; and see `bounds`, None unless `watched`.
    """
    found, loss, outputs, alarm = self._backward(
      batch, global_count, scale, watched
    )
    dense = [g for g in found if g is not None]
    context = tf.distribute.get_replica_context()
    *dense, loss = context.all_reduce("sum", [*dense, loss])
    if scale is not None:
      dense = [g / tf.cast(scale, g.dtype) for g in dense]
    norm = norms.global_norm(dense, self.folds)
    if self._optimizer.loss_scale_factor is not None:
      norm = norm / self._optimizer.loss_scale_factor
    rest = iter(dense)
    gradients = [None if g is None else next(rest) for g in found]
    alarm = bounds.of_all(alarm, context) if watched else None
    return gradients, loss, norm, outputs, alarm

  def _backward(self, batch, global_count, scale, watched):
    """(scaled gradients or Nones, loss, outputs, alarm) of this replica."""
    with tf.GradientTape() as tape:
      _, outputs, loss, alarm = self._forward(
        batch, global_count, True, watched
      )
      scaled = self._optimizer.scale_loss(loss)
      if scale is not None:
        scaled = scaled * scale
    found = tape.gradient(scaled, self.variables)
    # Dense: an IndexedSlices' norm would count a repeated row wrongly.
    dense = [g if g is None else tf.convert_to_tensor(g) for g in found]
    return dense, loss, outputs, alarm

  def evaluate(self, batch, global_count, watched=False):
    """One evaluation batch: updates the metrics.

    Args, as in `gradients`.

    Returns:
      (loss, alarm): the loss of the global batch, float32 scalar; and see
      `bounds`, None unless `watched`.
    """
    batch, outputs, loss, alarm = self._forward(
      batch, global_count, False, watched
    )
    self.update_metrics(batch, outputs)
    context = tf.distribute.get_replica_context()
    alarm = bounds.of_all(alarm, context) if watched else None
    return context.all_reduce("sum", loss), alarm

  def count(self, batch, outputs):
    """Counts a finished update in the metrics; see `gradients`."""
    self.update_metrics(batch, outputs)

  def update_metrics(self, batch, outputs):
    """Counts this replica's outputs in the model's metrics."""
    self.objective.count(batch, outputs)

  def _forward(self, batch, global_count, training, watched):
    """(batch with its labels in range, outputs, loss, alarm)."""
    with self.lookout.over(watched) as watch:
      outputs = self.objective.outputs(batch, training)
    if watched:
      batch = self.lookout.labels(watch, batch, outputs)
    loss = self.objective.loss(batch, outputs, training)
    loss = tf.cast(loss, tf.float32)
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if replicas > 1 or self.weighs:
      # The loss is this replica's mean over the number of replicas; weigh
      # it by the replica's share, so that every example counts the same.
      share = structures.examples(batch) * replicas / global_count
      loss = tf.math.multiply_no_nan(loss, tf.cast(share, tf.float32))
    return batch, outputs, loss, watch.alarm if watched else None

  def read(self, variables):
    """This replica's values of some tf.Variables."""
    return [v.read_value() for v in variables]

  def write(self, variables, values):
    """Puts this replica's values back."""
    for variable, value in zip(variables, values, strict=True):
      variable.assign(value)

  def keep(self, finite, variables, before):
    """Puts this replica's values back unless the update was `finite`."""
    for variable, old in zip(variables, before, strict=True):
      variable.assign(tf.where(finite, variable.read_value(), old))


def distinct(variables):
  """The tf.Variables of some Keras variables, each once."""
  return list({id(v): v.value for v in variables}.values())
