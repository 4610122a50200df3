"""Whether the judging of a fit goes on from the fit before, or starts anew."""

import tensorflow as tf

# What may be another one than before, by its bit in `Basis.changed`.
_WHAT = ("another schedule", "other training data", "other validation data")


def _number(value=0):
  return tf.Variable(value, dtype=tf.int64, trainable=False)


class Basis(tf.Module):
  """What decides whether judging goes on from the fit before, or starts anew.

  A best value means something only beside values of the same data, reached on
  the same schedule. All that decides is in a checkpoint, so that a process
  that goes on with a run decides as the one before.

  Attributes:
    fit: number of the present fit, from 1; 0 before the first.
    since: number of the fit in which the present judging began.
    epoch: epochs of the run before that fit.
    changed: what differs from the fit before, as bits of `_WHAT`; 0: nothing.
    data: checksums of training and validation data; -1 for none.
  """

  def __init__(self):
    super().__init__(name="basis")
    self.fit, self.since = _number(), _number()
    self.epoch, self.changed = _number(), _number()
    self.data = _number([-1, -1])

  def begin(self, anew, data, epoch):
    """Before a fit; on the host.

    Args:
      anew: whether a schedule starts at its step 0.
      data: checksums, ints, as in `data`.
      epoch: epochs of the run before this fit.

    Returns:
      Whether judging goes on from the fit before.
    """
    pairs = zip(self.data.numpy().tolist(), data, strict=True)
    flags = [bool(anew), *(old != new for old, new in pairs)]
    changed = sum(flag << bit for bit, flag in enumerate(flags))
    self.fit.assign_add(1)
    goes_on = int(self.fit.numpy()) > 1 and not changed
    self.changed.assign(changed)
    self.data.assign(data)
    if not goes_on:
      self.since.assign(self.fit)
      self.epoch.assign(epoch)
    return goes_on

  @property
  def text(self):
    """What the present fit is judged by, in words; "" in the first one."""
    fit, since = int(self.fit.numpy()), int(self.since.numpy())
    if since < fit:
      return f"goes on from fit {since}"
    changed = int(self.changed.numpy())
    what = [text for bit, text in enumerate(_WHAT) if changed >> bit & 1]
    return f"starts anew: {', '.join(what)}" if fit > 1 else ""
