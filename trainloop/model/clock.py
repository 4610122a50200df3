"""The clock of a run: updates done, epochs, and the sums of the present one."""

import tensorflow as tf


class Clock(tf.Module):
  """Counts global batches, the only clock, and what an epoch adds up.

  Attributes:
    global_step: global batches consumed, int64 variable.
    skipped: updates that were refused and passed over, of `global_step`.
    epoch: epochs begun and finished.
    loss_sum, examples: of the present epoch, for its mean loss.
  """

  def __init__(self):
    super().__init__(name="clock")
    self.global_step = tf.Variable(0, dtype=tf.int64, trainable=False)
    self.skipped = tf.Variable(0, dtype=tf.int64, trainable=False)
    self.epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
    self.loss_sum = tf.Variable(0, dtype=tf.float64, trainable=False)
    self.examples = tf.Variable(0, dtype=tf.int64, trainable=False)

  def totals(self):
    """(loss_sum, examples) as one float64 vector, exact below 2^53."""
    return tf.stack([self.loss_sum, tf.cast(self.examples, tf.float64)])

  def count(self, steps, skipped, epochs, totals):
    """Adds what a window did; in graph.

    Args:
      steps: int32 scalar, how far the clock moves.
      skipped: int32 scalar, how many of these updates were refused.
      epochs: int32 scalar, epochs that ended inside the window.
      totals: see `totals`, of the epoch that goes on.
    """
    self.global_step.assign_add(tf.cast(steps, tf.int64))
    self.skipped.assign_add(tf.cast(skipped, tf.int64))
    self.epoch.assign_add(tf.cast(epochs, tf.int64))
    self.loss_sum.assign(totals[0])
    self.examples.assign(tf.cast(totals[1], tf.int64))

  def mean_loss(self):
    """The epoch's mean loss so far, float64 scalar; NaN before an update."""
    return self.loss_sum / tf.cast(self.examples, tf.float64)

  def end_epoch(self):
    """Counts a finished epoch and forgets its sums; on the host."""
    self.epoch.assign_add(1)
    self.loss_sum.assign(0.0)
    self.examples.assign(0)

  @property
  def next_epoch(self):
    """Epochs behind the next fit; one that was left half way counts."""
    return int(self.epoch.numpy()) + bool(self.examples.numpy())
