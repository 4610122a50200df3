"""A loss scale that adapts itself, in graph, for gradients in float16.

Below 6e-8 float16 has only zero, above 65504 only infinity. The loss times a
scale moves the gradients into its range; divided by it afterwards in float32,
they are what they were. Micikevicius et al. 2018, "Mixed Precision Training",
3.2; growth and cuts as Keras' LossScaleOptimizer has them.
"""

import tensorflow as tf

FIRST, LEAST, MOST = 2.0**15, 1.0, 2.0**40
GROWTH_STEPS = 2000


class LossScale(tf.Module):
  """The scale and the updates since it moved; powers of two, so exact.

  Attributes:
    value: float32 variable in [LEAST, MOST].
    good: int64 variable, finite updates in a row since it moved.
  """

  def __init__(self):
    super().__init__(name="loss_scale")
    self.value = tf.Variable(FIRST, dtype=tf.float32, trainable=False)
    self.good = tf.Variable(0, dtype=tf.int64, trainable=False)

  def overflowed(self, finite, loss):
    """Whether a smaller scale may make such an update finite; in graph.

    A loss that is not finite by itself has nothing to do with the scale.

    Args:
      finite: bool scalar, whether loss and gradients are.
      loss: float32 scalar, unscaled.
    """
    return ~finite & tf.math.is_finite(loss) & (self.value > LEAST)

  def record(self, finite, overflowed, counts=True):
    """Remembers an update: x 2 after 2000 good ones, / 2 after an overflow.

    Args:
      finite, overflowed: bool scalars, see `overflowed`.
      counts: bool scalar; an update whose data was refused does not.
    """
    good = tf.where(finite, self.good + 1, 0)
    grows = good >= GROWTH_STEPS
    grown = tf.where(grows, tf.minimum(self.value * 2.0, MOST), self.value)
    value = tf.where(overflowed, self.value / 2.0, grown)
    good = tf.where(grows, tf.zeros_like(good), good)
    self.value.assign(tf.where(counts, value, self.value))
    self.good.assign(tf.where(counts, good, self.good))
