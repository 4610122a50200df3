"""Moving statistics under several replicas: each update's, from all of them.

BatchNormalization normalises a replica's examples by their own statistics
(with `synchronized=True` by those of the global batch); the moving averages
that evaluation uses would then differ from replica to replica. Here they move
by the mean over the replicas, each weighted by its share of the examples.
"""

import keras
import tensorflow as tf

from trainloop.data import structures


class Moving:
  """The non-trainable variables that a forward pass in training moves.

  Args:
    strategy: the `tf.distribute.Strategy`.
    model: a built keras.Model.
    objective: what does the forward pass; see `objective`.
    batch: (x, y, sample_weight) tensors, as a replica has them.
  """

  def __init__(self, strategy, model, objective, batch):
    self.variables = []
    if strategy.num_replicas_in_sync > 1:
      self.variables = _moved(strategy, model, objective, batch)

  def read(self):
    """This replica's values."""
    return [v.value.read_value() for v in self.variables]

  def average(self, before, batch, count):
    """Makes the replicas equal after a forward pass; as one replica sees it.

    value = before + sum over replicas of share * (value - before)

    Args:
      before: what `read` gave before the pass, the same on all replicas.
      batch: (x, y, sample_weight) of this replica.
      count: the `strategies.Count` of the global batch.
    """
    share = count.fraction(structures.examples(batch))
    moved = []
    for variable, old in zip(self.variables, before, strict=True):
      weight = tf.cast(share, old.dtype)
      # A replica without examples has NaN for their mean.
      move = variable.value.read_value() - old
      moved.append(tf.math.multiply_no_nan(move, weight))
    context = tf.distribute.get_replica_context()
    moved = context.all_reduce("sum", moved)
    for variable, old, move in zip(self.variables, before, moved, strict=True):
      variable.value.assign(old + move)


def _moved(strategy, model, objective, batch):
  """Floats that a pass assigns; traced, not run, so that nothing moves."""
  moved = []

  def replica():
    with keras.StatelessScope() as scope:
      objective.outputs(batch, training=True)
    moved[:] = [
      v
      for v in model.non_trainable_variables
      if scope.get_current_value(v) is not None and v.value.dtype.is_floating
    ]

  run = tf.function(lambda: strategy.run(replica), autograph=False)
  run.get_concrete_function()
  return moved
