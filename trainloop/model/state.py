"""Everything that a checkpoint of a run holds, as one tf.Module."""

import tensorflow as tf


def _counter(dtype=tf.int64):
  return tf.Variable(0, dtype=dtype, trainable=False)


class TrainState(tf.Module):
  """The run's own variables; weights and slots stay with model and optimizer.

  Args:
    judge: the run's `Judge`.
    momentum_product: the first value of that attribute, or None.
    loss_scale: the run's `LossScale`, or None.

  Attributes:
    global_step: global batches consumed, the only clock.
    epoch: epochs begun and finished.
    skipped: updates that were refused and passed over, of `global_step`.
    rewinds, rate_scale: how often this fit went back to a checkpoint, and
      what its learning rates are multiplied by since.
    schedule_start: the global step at which the current schedule is at 0.
    momentum_product: product of all updates' momenta, float64; None where
      nothing asks for it.
    loss_sum, examples: of the current epoch, for its mean loss.
    average: the `Average` of the weights; None until the optimizer is built.
  """

  def __init__(self, judge, momentum_product=None, loss_scale=None):
    super().__init__(name="state")
    self.judge, self.average = judge, None
    self.loss_scale = loss_scale
    self.global_step = _counter()
    self.skipped = _counter()
    self.rewinds = _counter()
    self.rate_scale = tf.Variable(1.0, dtype=tf.float32, trainable=False)
    self.epoch = _counter()
    self.schedule_start = _counter()
    self.loss_sum = _counter(tf.float64)
    self.examples = _counter()
    self.momentum_product = None
    if momentum_product is not None:
      self.momentum_product = tf.Variable(
        momentum_product, dtype=tf.float64, trainable=False
      )

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

  def begin_fit(self, schedule_start, data):
    """Starts anew what belongs to one fit; on the host.

    Args:
      schedule_start: global step at which its schedule is at 0.
      data: checksums of what it is judged on; see `Basis`.
    """
    self.rewinds.assign(0)
    self.rate_scale.assign(1.0)
    if self.examples.numpy():  # an exception left an epoch half way
      self.end_epoch()
    self.schedule_start.assign(schedule_start)
    anew = schedule_start == int(self.global_step.numpy())
    self.judge.begin(anew, data, int(self.epoch.numpy()))

  def prepare(self, averages, slots):
    """Makes room for what is kept; under the strategy's scope.

    Args:
      averages: the `Average` of the weights.
      slots: gives the tf.Variables that an optimizer's updates move.
    """
    self.average = averages
    self.judge.prepare(slots, lambda: averages.copies)

  def begin_sweep(self):
    """Before updates that are undone: a schedule at its 0, rates as it says."""
    self.average.go_on()
    self.schedule_start.assign(self.global_step)
    self.judge.unscale()
    self.rate_scale.assign(1.0)

  def rewind(self, count, factor):
    """After a checkpoint came back: smaller learning rates from here on.

    Args:
      count: how often this fit went back by now, int.
      factor: what its learning rates are multiplied by once more.
    """
    self.rewinds.assign(count)
    self.rate_scale.assign(self.rate_scale * factor)

  def show(self):
    """Has the model hold what is judged: averages, where there are some."""
    self.average.show(int(self.global_step.numpy()))

  def finish(self):
    """What a finished fit leaves in the model: averages, or best weights.

    Returns:
      What that is, in words; "" for the weights as they are.
    """
    self.show()
    what = "the averages" if self.average else "those"
    done = self.judge.restore_best()
    if done is None:
      return what if self.average else ""
    self.average.settle()
    return f"{what} after step {done}"
