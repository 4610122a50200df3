"""The gradients' norm, summed so that it costs little in either engine."""

import tensorflow as tf

_ROWS = 32  # XLA turns a sum of more numbers into scalar loops
_WIDTH = 128
_SMALL = _ROWS * _WIDTH * 2
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
  wide = [tf.cast(g, tf.float32) for g in gradients]
  if not folds:
    # Half the sum of the squares, which are not written to memory.
    return tf.sqrt(2.0 * tf.add_n([tf.nn.l2_loss(g) for g in wide]))
  total = tf.add_n([_folded(tf.square(g)) for g in wide])
  return tf.sqrt(tf.reduce_sum(_by_rows(total)))


def _folded(tensor):
  """float32 (128,) whose sum is that of a tensor's elements, all >= 0."""
  flat = tf.reshape(tensor, [-1])
  while flat.shape[0] > _SMALL:
    parts = tf.split(_padded(flat, _PARTS), _PARTS)
    flat = tf.add_n(parts)
  while flat.shape[0] > _WIDTH:
    flat = _by_rows(flat)
  return _padded(flat, _WIDTH)


def _by_rows(flat):
  """A vector's sums over 32 rows."""
  rows = tf.reshape(_padded(flat, _ROWS), [_ROWS, -1])
  # The maximum with 0 changes nothing; it keeps XLA from merging the sums.
  return tf.maximum(tf.reduce_sum(rows, axis=0), 0.0)


def _padded(flat, multiple):
  """With zeros behind, to a multiple of that many elements."""
  missing = -flat.shape[0] % multiple
  return tf.pad(flat, [[0, missing]]) if missing else flat
