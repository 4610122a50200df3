"""What a Keras model measures itself, counted as the loop counts."""

import contextlib
import functools

import keras
import tensorflow as tf


@contextlib.contextmanager
def by_examples(model, examples):
  """A context in which losses of single outputs count by their examples.

  value = sum over batches of (examples * the batch's loss) / sum of examples

  Keras weighs a batch by its static size; where that is not known every batch
  counts the same, a partial one as much as a whole one.

  Args:
    model: a compiled keras.Model, whose `compute_loss` is called inside.
    examples: int32 scalar tensor, examples of the batch.
  """
  # Private: nothing public says which of `model.metrics` are these.
  # `test_model_metrics.py` notices if they move.
  trackers = list(getattr(model._compile_loss, "metrics", ()))
  for tracker in trackers:
    update = functools.partial(_update, tracker, examples)
    vars(tracker)["update_state"] = update
  try:
    yield
  finally:
    for tracker in trackers:
      vars(tracker).pop("update_state", None)


def _update(tracker, examples, value, sample_weight=None):
  """`Mean.update_state` with the examples as the weight; 0 of them add 0."""
  del sample_weight
  value = tf.where(examples > 0, value, tf.zeros_like(value))
  keras.metrics.Mean.update_state(tracker, value, sample_weight=examples)
