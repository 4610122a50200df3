"""A pass over batches, in graph: what evaluation and statistics go through."""

import tensorflow as tf


def fold(batches, n, step, sums, goes_on=None):
  """Folds batches into sums, up to `n` or the end of a stream.

  Args:
    batches: the `Batches`.
    n: how many of them there are, int32 scalar.
    step: function of (batch, count, *sums) that gives the next sums.
    sums: tuple of tensors, or lists of them.
    goes_on: function of sums: whether another batch is read, bool scalar; None:
      always.

  Returns:
    (how many were read, int32 scalar, *sums).
  """

  def body(i, more, *sums):
    if not batches.ends:
      return i + 1, more, *step(*batches(i), *sums)
    more, batch = batches.ahead()
    sums = tf.cond(more, lambda: step(*batch(), *sums), lambda: sums)
    return i + tf.cast(more, tf.int32), more, *sums

  def has_next(i, more, *sums):
    more = more & (i < n)
    return more if goes_on is None else more & goes_on(*sums)

  start = (tf.constant(0), True, *sums)
  i, _, *sums = tf.while_loop(has_next, body, start, parallel_iterations=1)
  return i, *sums
