"""Copies of variables on their device, to go back to."""

import tensorflow as tf


class KeptWeights(tf.Module):
  """One copy of some variables, kept and put back in graph.

  Args:
    variables: function that gives the list of tf.Variables; a function, so
      that a checkpoint does not hold them a second time.

  Attributes:
    copies: one tf.Variable each.
    step: index of the update after which they were kept; -1: never.
  """

  def __init__(self, variables):
    super().__init__(name="kept")
    self._live = variables
    self.copies = [tf.Variable(v, trainable=False) for v in variables()]
    self.step = tf.Variable(-1, dtype=tf.int64, trainable=False)

  def keep(self, step):
    """Copies the present values, after update `step`; in graph."""
    self.step.assign(step)
    for copy, variable in zip(self.copies, self._live(), strict=True):
      copy.assign(variable)

  def restore(self):
    """Puts the copies back; in graph."""
    for copy, variable in zip(self.copies, self._live(), strict=True):
      variable.assign(copy)

  def forget(self):
    """Has nothing to put back any more; on the host."""
    self.step.assign(-1)

  @property
  def holds(self):
    """Whether there is something to put back; on the host."""
    return int(self.step.numpy()) >= 0
