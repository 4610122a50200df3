"""The gradients' norm, summed so that it costs little in either engine."""

import tensorflow as tf

_ROWS = 32  # XLA turns a sum of more numbers into scalar loops
_SMALL = 8192
_PARTS = 8


def global_norm(gradients, folds=False):
  """sqrt(sum of the squares of all elements), float32 scalar.

  XLA on a CPU adds a whole tensor up one number after another, 1 us a
  thousand, on the way from the gradients to the guarded update. Folded, small
  tensors are added up 32 rows at a time and large ones in eighths, side by
  side: 0.1 us a thousand.

  Args:
    gradients: dense tensors.
    folds: whether to fold.
  """
  add = _folded if folds else tf.reduce_sum
  squares = [tf.square(tf.cast(g, tf.float32)) for g in gradients]
  return tf.sqrt(tf.add_n([add(square) for square in squares]))


def _folded(tensor):
  """The sum of a tensor's elements, of fixed shape and >= 0."""
  flat = tf.reshape(tensor, [-1])
  while flat.shape[0] > _SMALL:
    parts = tf.split(_padded(flat, _PARTS), _PARTS)
    flat = tf.add_n(parts)
  while flat.shape[0] > _ROWS:
    rows = tf.reshape(_padded(flat, _ROWS), [_ROWS, -1])
    # The maximum with 0 changes nothing; it keeps XLA from merging the sums.
    flat = tf.maximum(tf.reduce_sum(rows, axis=0), 0.0)
  return tf.reduce_sum(flat)


def _padded(flat, multiple):
  """With zeros behind, to a multiple of that many elements."""
  missing = -flat.shape[0] % multiple
  return tf.pad(flat, [[0, missing]]) if missing else flat
