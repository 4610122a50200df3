"""Everything that a checkpoint of a run holds, as one tf.Module."""

import tensorflow as tf

from trainloop.model.clock import Clock
from trainloop.model.coefficients import Coefficients


def _counter():
  return tf.Variable(0, dtype=tf.int64, trainable=False)


class TrainState(tf.Module):
  """The run's own variables; weights and slots stay with model and optimizer.

  Args:
    judge: the run's `Judge`.
    coefficients: the run's `Coefficients`; None for none.
    loss_scale: the run's `LossScale`, or None.

  Attributes:
    clock: the run's `Clock`.
    rewinds, rate_scale: how often this fit went back to a checkpoint, and
      what its learning rates are multiplied by since.
    schedule_start: the global step at which the current schedule is at 0.
    coefficients: the `Coefficients`.
    loss_scale: the `LossScale`, or None.
    average: the `Average` of the weights; None until the optimizer is built.
  """

  def __init__(self, judge, coefficients=None, loss_scale=None):
    super().__init__(name="state")
    self.judge, self.average = judge, None
    self.loss_scale = loss_scale
    self.clock = Clock()
    self.rewinds = _counter()
    self.rate_scale = tf.Variable(1.0, dtype=tf.float32, trainable=False)
    self.schedule_start = _counter()
    self.coefficients = coefficients or Coefficients()

  @property
  def global_step(self):
    """The clock's variable: global batches consumed."""
    return self.clock.global_step

  def begin_fit(self, schedule_start, data):
    """Starts anew what belongs to one fit; on the host.

    Args:
      schedule_start: global step at which its schedule is at 0.
      data: checksums of what it is judged on; see `Basis`.
    """
    self.rewinds.assign(0)
    self.rate_scale.assign(1.0)
    if self.clock.examples.numpy():  # an exception left an epoch half way
      self.clock.end_epoch()
    self.schedule_start.assign(schedule_start)
    anew = schedule_start == int(self.global_step.numpy())
    self.judge.begin(anew, data, int(self.clock.epoch.numpy()))

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
