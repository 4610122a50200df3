"""Histograms of weights and gradients, computed in graph."""

import tensorflow as tf

from trainloop.devices import strategies

BUCKETS = 30


def table(values, buckets=BUCKETS):
  """Counts of a tensor's finite values in equal buckets; in graph or eagerly.

  Args:
    values: float tensor of any shape.
    buckets: int >= 1.

  Returns:
    float64 (buckets, 3): left and right edge of each bucket, and how many
    values are in it. Equal values are all in the last one; zeros if there are
    no finite values.
  """
  values = tf.cast(tf.reshape(values, [-1]), tf.float64)
  finite = tf.math.is_finite(values)
  nothing = ~tf.reduce_any(finite)
  big = tf.constant(values.dtype.max, values.dtype)
  low = tf.reduce_min(tf.where(finite, values, big))
  high = tf.reduce_max(tf.where(finite, values, -big))
  low, high = (tf.where(nothing, tf.zeros_like(v), v) for v in (low, high))
  width = (high - low) / buckets
  place = tf.math.divide_no_nan(tf.where(finite, values, low) - low, width)
  place = tf.cast(tf.minimum(tf.floor(place), buckets - 1), tf.int32)
  place = tf.where(width > 0, place, buckets - 1)
  counts = tf.math.unsorted_segment_sum(
    tf.cast(finite, tf.float64), place, buckets
  )
  left = low + width * tf.range(buckets, dtype=tf.float64)
  right = tf.concat([left[1:], high[tf.newaxis]], 0)
  return tf.stack([left, right, counts], axis=1)


class Histograms:
  """Histograms of a model's weights, and of one update's gradients.

  The window that does that update calls `observe`; all others know nothing
  of it.

  Args:
    strategy: the `tf.distribute.Strategy` of the model.
    model: a built keras.Model.
  """

  def __init__(self, strategy, model):
    self._strategy = strategy
    floating = [w for w in model.weights if tf.as_dtype(w.dtype).is_floating]
    self._weights = _named("weights", floating)
    self._trained = list(_named("gradients", model.trainable_variables))
    shape = [len(self._trained), BUCKETS, 3]
    with strategy.scope():
      self._seen = tf.Variable(tf.zeros(shape, tf.float64), trainable=False)

  def observe(self, gradients):
    """Takes in an update's gradients, per replica, or Nones; traced."""
    gradients = strategies.first(self._strategy, gradients)
    tables = [
      tf.zeros([BUCKETS, 3], tf.float64) if g is None else table(g)
      for g in gradients
    ]
    self._seen.assign(tf.stack(tables))

  def read(self):
    """{"weights/path" or "gradients/path": NumPy table}: of the weights as
    they are, and of the gradients that were seen last."""
    weights, seen = self._read()
    return {
      **dict(zip(self._weights, weights.numpy(), strict=True)),
      **dict(zip(self._trained, seen.numpy(), strict=True)),
    }

  @tf.function(autograph=False)
  def _read(self):
    tables = [table(w.value.read_value()) for w in self._weights.values()]
    return tf.stack(tables), self._seen.read_value()


def _named(group, variables):
  """{"group/path": Keras variable}, every one once."""
  by_name = {}
  for variable in variables:
    name, more = f"{group}/{variable.path}", 1
    while name in by_name:
      more += 1
      name = f"{group}/{variable.path}_{more}"
    by_name[name] = variable
  return by_name
