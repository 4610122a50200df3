"""Gradient accumulation: one update from several micro-batches."""

import functools

import tensorflow as tf

from trainloop.compiled.replica import Replica
from trainloop.data import structures
from trainloop.model import bounds, reductions
from trainloop.model.moving_statistics import Moving


class InMicroBatches(Replica):
  """A `Replica` that computes its share in micro-batches, one after another.

  gradient = sum over the micro-batches of their share of the examples times
  the gradient of their mean loss (`reductions` has what is no such mean); so it
  is that of the whole batch, while memory holds the activations of one
  micro-batch. What layers do with a batch as a whole (BatchNormalization) they
  do with a micro-batch.

  Args:
    *common: see `Replica`.
    count: micro-batches of a full batch, int >= 2. A partial batch is cut into
      at most as many.
  """

  def __init__(self, *common, count):
    super().__init__(*common)
    self._count = count

  def count(self, batch, count, outputs):
    """Does nothing: `_backward` counts each micro-batch in the metrics, and
    the guard of `Update` puts back the counts of a refused update."""

  def _backward(self, batch, count, scale, check_mode, frozen, loss_of=None):
    """As `Replica._backward`, summed over the micro-batches."""
    missing, over = set(), self._denominators(batch)
    loss_of = functools.partial(self.loss_of_part, over=over)

    def add(part, sums, total, alarms):
      replica_gradients, loss, outputs, alarm = super(
        InMicroBatches, self
      )._backward(part, count, scale, check_mode, frozen, loss_of)
      self.update_metrics(part, outputs)
      missing.update(i for i, g in enumerate(replica_gradients) if g is None)
      replica_gradients = [0.0 if g is None else g for g in replica_gradients]
      sums = [a + g for a, g in zip(sums, replica_gradients, strict=True)]
      alarms = [bounds.first([one, alarm]) for one in alarms]
      return sums, total + loss, alarms

    sums = [tf.zeros_like(v.value) for v in self.variables]
    alarms = [bounds.none()] if check_mode else []
    sums, loss, alarms = _each(
      batch, self._count, add, sums, tf.constant(0.0), alarms
    )
    replica_gradients = [
      None if i in missing else g for i, g in enumerate(sums)
    ]
    return replica_gradients, loss, None, alarms[0] if check_mode else None

  def _denominators(self, batch):
    """The denominator of each loss in the global batch; None if none has one.

    Takes a forward pass of its own. Only masks and weights are read from it,
    so most of it is left out where the masks come from the inputs.
    """
    if not self.reductions.counts:
      return None

    def add(part, total):
      with self.objective.untouched():
        outputs = self.objective.outputs(part, training=False)
      own = self.reductions.denominators(self.objective, part, outputs)
      return [total + own]

    zeros = tf.zeros([self.reductions.losses])
    (own,) = _each(batch, self._count, add, zeros)
    return tf.distribute.get_replica_context().all_reduce("sum", own)


def replica_for(trainee, example):
  """The `Replica` of a trainee, in micro-batches if its `Numerics` say so.

  Args:
    trainee: a `Trainee` with its objective and intake.
    example: (x, y, sample_weight) of a whole batch.

  Raises:
    ValueError: if parts of a batch can't give the model's loss.
  """
  strategy, numerics = trainee.strategy, trainee.options.numerics
  model, objective = trainee.model, trainee.objective
  batch = trainee.intake.batch
  replicas = strategy.num_replicas_in_sync
  numerics.check_parts(model, replicas)
  moving = Moving(strategy, model, objective, batch)
  reduced = reductions.Reductions()
  if objective.reduces and replicas * numerics.accumulate > 1:
    reduced = reductions.of(strategy, objective, batch, example)
  optimizer, range_checks = (
    trainee.binding.optimizer,
    trainee.intake.range_checks,
  )
  common = (model, optimizer, moving, objective, range_checks, reduced)
  if numerics.accumulate == 1:
    return Replica(*common, trainee.binding.losses.targets)
  return InMicroBatches(*common, count=numerics.accumulate)


def _each(batch, count, add, *state):
  """Folds a batch: state = add(micro-batch, *state) for each; in graph.

  If the batch size is static (XLA), so are the micro-batches' sizes: a shorter
  last one is added after the loop.
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
