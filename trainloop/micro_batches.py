"""Gradient accumulation: one update from several micro-batches."""

import tensorflow as tf

from trainloop import bounds, structures
from trainloop.step import Step


class MicroStep(Step):
  """A `Step` that goes through its share in micro-batches, one after another.

  gradient = sum over the micro-batches of their share of the examples times
  the gradient of their mean loss; so it is that of the whole batch, while
  memory holds the activations of one micro-batch. What layers do with a batch
  as a whole (BatchNormalization) they do with a micro-batch.

  Args:
    model, optimizer, moving, objective, lookout: see `Step`.
    count: micro-batches of a full batch, int >= 2. A partial batch is cut into
      at most as many.
  """

  weighs = True

  def __init__(self, model, optimizer, moving, objective, lookout, count):
    super().__init__(model, optimizer, moving, objective, lookout)
    self._count = count

  def count(self, batch, outputs):
    """Nothing: each micro-batch was counted; a refused update is put back."""

  def _backward(self, batch, global_count, scale, watched):
    """As `Step._backward`, summed over the micro-batches."""
    missing = set()

    def add(part, sums, total, alarms):
      found, loss, outputs, alarm = super(MicroStep, self)._backward(
        part, global_count, scale, watched
      )
      self.update_metrics(part, outputs)
      missing.update(i for i, g in enumerate(found) if g is None)
      found = [0.0 if g is None else g for g in found]
      sums = [a + g for a, g in zip(sums, found, strict=True)]
      alarms = [bounds.first([one, alarm]) for one in alarms]
      return sums, total + loss, alarms

    sums = [tf.zeros_like(v.value) for v in self.variables]
    alarms = [bounds.none()] if watched else []
    sums, loss, alarms = _each(
      batch, self._count, add, sums, tf.constant(0.0), alarms
    )
    found = [None if i in missing else g for i, g in enumerate(sums)]
    return found, loss, None, alarms[0] if watched else None


def _each(batch, count, add, *state):
  """state = add(micro-batch, *state) for each; in graph.

  Sizes that are fixed stay so (XLA): a shorter last one goes behind the loop.
  """
  size = structures.leaves(batch)[0].shape[0]
  fixed = size is not None
  size = size if fixed else structures.examples(batch)
  largest = -(-size // count)  # of a micro-batch
  if fixed:
    whole, rest = divmod(size, max(1, largest))
  else:
    largest = tf.maximum(largest, 1)
    whole, rest = -(-size // largest), 0

  def body(i, *state):
    start = i * largest
    if fixed:
      cut = structures.map_leaves(lambda t: _block(t, start, largest), batch)
    else:
      cut = structures.part(batch, start, start + largest)
    return i + 1, *add(cut, *state)

  _, *state = tf.while_loop(
    lambda i, *_: i < whole,
    body,
    (tf.constant(0), *state),
    parallel_iterations=1,
  )
  return (
    add(structures.part(batch, whole * largest, size), *state)
    if rest
    else state
  )


def _block(tensor, start, length):
  """Rows start .. start + length - 1, of a length that the shape keeps."""
  rest = tensor.shape.rank - 1
  sizes = [length, *tensor.shape[1:]]
  return tf.slice(tensor, [start, *[0] * rest], sizes)
