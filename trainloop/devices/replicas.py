"""Variables that differ from replica to replica, as a checkpoint holds them.

Each replica counts its own examples in the metrics. TensorFlow saves the sum
and gives it back in equal parts, which is not what was there; and reading it
needs all workers, of which only one saves.
"""

import tensorflow as tf

from trainloop.devices import strategies


class PerReplica(tf.Module):
  """One mirrored copy, (replicas, ...), of each of some variables.

  Made under the strategy's scope.

  Args:
    strategy: the `tf.distribute.Strategy`.
    variables: keras.Variables.

  Attributes:
    copies: the tf.Variables, for a checkpoint.
  """

  def __init__(self, strategy, variables):
    super().__init__(name="per_replica")
    self._strategy, self._variables = strategy, variables
    replicas = strategy.num_replicas_in_sync
    self.copies = [
      tf.Variable(tf.zeros((replicas, *v.shape), v.dtype), trainable=False)
      for v in variables
    ]

  @tf.function(autograph=False)
  def gather(self):
    """Takes what the replicas have into the copies; on all workers."""
    if not self.copies:
      return

    def replica():
      context = tf.distribute.get_replica_context()
      row = [[context.replica_id_in_sync_group]]
      mine = [
        tf.scatter_nd(row, variable.value.read_value()[None], copy.shape)
        for variable, copy in zip(self._variables, self.copies, strict=True)
      ]
      return context.all_reduce("sum", mine)

    values = strategies.first(self._strategy, self._strategy.run(replica))
    for copy, value in zip(self.copies, values, strict=True):
      copy.assign(value)

  @tf.function(autograph=False)
  def scatter(self):
    """Gives each replica back what the copies hold of it."""

    def replica():
      context = tf.distribute.get_replica_context()
      index = context.replica_id_in_sync_group
      for variable, copy in zip(self._variables, self.copies, strict=True):
        variable.value.assign(tf.gather(copy.read_value(), index))

    self._strategy.run(replica)
