"""One update, and one evaluation batch, as ONE replica sees it."""

import contextlib

import tensorflow as tf

from trainloop.compiled import gradient_norm
from trainloop.data import structures
from trainloop.model import bounds, layer_states
from trainloop.model.reductions import Share


class Replica:
  """The replica's part of an update: forward, loss, gradients, metrics.

  Args:
    model: a compiled and built keras.Model.
    optimizer: its Keras optimizer, for the loss scale that it undoes.
    moving: the model's `Moving` statistics.
    objective: its loss and metrics, see `objective`.
    range_checks: the `RangeChecks` over its batches.
    reductions: the `Reductions` of its losses, for parts of a batch.
    targets: {loss: positions of the variables that it moves}; None for one
      loss, which moves all.

  Attributes:
    metric_state: tf.Variables of the metrics.
    carried: tf.Variables that `layer_states` finds.
    touched: tf.Variables that a forward pass may change.
  """

  def __init__(
    self,
    model,
    optimizer,
    moving,
    objective,
    range_checks,
    reductions,
    targets=None,
  ):
    self.model, self.moving = model, moving
    self.objective, self.range_checks = objective, range_checks
    self.reductions, self._targets = reductions, targets
    self.variables = model.trainable_variables
    self._optimizer = optimizer
    # What a forward pass may change: moving statistics, seeds, and metrics
    # that `compute_loss` updates. A refused update puts these back.
    metrics = objective.variables
    self.metric_state = [v.value for v in metrics]
    self.carried = layer_states.of(model)
    self.touched = [
      *distinct([*model.non_trainable_variables, *metrics]),
      *self.carried,
    ]

  def gradients(
    self, batch, count, scale=None, check_mode="", folds=False, moves=None
  ):
    """Forward and backward over this replica's share of the batch.

    Args:
      batch: (x, y, sample_weight) of this replica.
      count: the `strategies.Count` of the global batch.
      scale: what the loss is multiplied by on the way back, float32 scalar;
        None for 1.
      check_mode: how to look whether ids and labels are in range; see `bounds`.
      folds: whether the norm is summed for XLA on a CPU; see `gradient_norm`.
      moves: the `Moves` of the variables; None where all move.

    Returns:
      (gradients, loss, norm, outputs, alarm): gradients and loss (a vector of
      them with `targets`) summed over all replicas, the norm of the unscaled
      gradients, float32 scalars; the outputs for `count`; an alarm (see
      `bounds`), None without `check_mode`.
    """
    with self._once(count):
      replica_gradients, loss, outputs, alarm = self._backward(
        batch, count, scale, check_mode, moves.frozen if moves else ()
      )
    for i, active in (moves.active if moves else {}).items():
      g = replica_gradients[i]
      if g is not None:
        replica_gradients[i] = tf.where(active, g, tf.zeros_like(g))
    dense = [g for g in replica_gradients if g is not None]
    context = tf.distribute.get_replica_context()
    *dense, loss = context.all_reduce("sum", [*dense, loss])
    if scale is not None:
      dense = [g / tf.cast(scale, g.dtype) for g in dense]
    norm = gradient_norm.global_norm(dense, folds)
    if self._optimizer.loss_scale_factor is not None:
      norm = norm / self._optimizer.loss_scale_factor
    rest = iter(dense)
    gradients = [None if g is None else next(rest) for g in replica_gradients]
    alarm = bounds.of_all(alarm, context) if check_mode else None
    return gradients, loss, norm, outputs, alarm

  def _backward(self, batch, count, scale, check_mode, frozen, loss_of=None):
    """(scaled gradients or Nones, loss, outputs, alarm) of this replica."""
    loss_of = loss_of or self._loss
    with tf.GradientTape(persistent=self._targets is not None) as tape:
      batch, outputs, alarm = self._forward(batch, True, check_mode)
      loss = loss_of(batch, count, outputs, training=True)
      # Apart, not as a vector: each one's way back leads through its own.
      losses = [loss] if self._targets is None else loss
      losses = [self._optimizer.scale_loss(one) for one in losses]
      if scale is not None:
        losses = [one * scale for one in losses]
    replica_gradients = self._slopes(tape, losses, frozen)
    loss = loss if self._targets is None else tf.stack(loss)
    # Dense: an IndexedSlices' norm would count a repeated row wrongly.
    dense = [
      g if g is None else tf.convert_to_tensor(g) for g in replica_gradients
    ]
    return dense, loss, outputs, alarm

  def _slopes(self, tape, losses, frozen):
    """Each variable's gradient of its own loss; None for the frozen ones."""
    every = range(len(self.variables))
    targets = self._targets or {"loss": every}
    found = [None] * len(self.variables)
    for loss, places in zip(losses, targets.values(), strict=True):
      places = [i for i in places if i not in frozen]
      slopes = tape.gradient(loss, [self.variables[i] for i in places])
      for i, slope in zip(places, slopes, strict=True):
        found[i] = slope
    return found

  def evaluate(self, batch, count, check_mode=""):
    """One evaluation batch: updates the metrics.

    Args, as in `gradients`.

    Returns:
      (loss, alarm): the loss of the global batch, float32 scalar; an alarm
      (see `bounds`), None without `check_mode`.
    """
    batch, outputs, alarm = self._forward(batch, False, check_mode)
    with self._once(count):
      loss = self._loss(batch, count, outputs, training=False)
      self.update_metrics(batch, outputs)
    context = tf.distribute.get_replica_context()
    alarm = bounds.of_all(alarm, context) if check_mode else None
    return context.all_reduce("sum", loss), alarm

  def count(self, batch, count, outputs):
    """Counts a finished update in the metrics; see `gradients`."""
    with self._once(count):
      self.update_metrics(batch, outputs)

  def update_metrics(self, batch, outputs):
    """Counts this replica's outputs in the model's metrics."""
    self.objective.count(batch, outputs)

  def _forward(self, batch, training, check_mode):
    """(batch with its labels in range, outputs, alarm)."""
    with self.range_checks.over(check_mode) as range_check:
      outputs = self.objective.outputs(batch, training)
    if check_mode:
      batch = self.range_checks.labels(range_check, batch, outputs)
    return batch, outputs, range_check.alarm if check_mode else None

  def _loss(self, batch, count, outputs, training):
    """What this replica's share adds to the loss of the global batch."""
    if _replicas() == 1:
      return _each(tf.cast, self._own(batch, outputs, training), tf.float32)
    over = None
    if self.reductions.counts:
      own = self.reductions.denominators(self.objective, batch, outputs)
      over = tf.distribute.get_replica_context().all_reduce("sum", own)
    return self.loss_of_part(batch, count, outputs, training, over)

  def loss_of_part(self, part, count, outputs, training, over):
    """What a part of the global batch adds to its loss, float32 scalar.

    Args:
      part: (x, y, sample_weight).
      count: the `strategies.Count` of the global batch.
      outputs: what the objective made of the part.
      training: whether it is an update's.
      over: the denominators of the global batch; see `reductions.Share`.
    """
    # The loss is the part's mean over the number of replicas; weigh it by the
    # part's share, so that every example counts the same.
    weight = count.fraction(structures.examples(part) * _replicas())
    weight = tf.cast(weight, tf.float32)
    once = tf.cast(count.fraction(count.examples), tf.float32)
    with self.reductions.of_part(Share(weight, once, over)):
      loss = self._own(part, outputs, training)
    loss = _each(tf.cast, loss, tf.float32)
    return _each(tf.math.multiply_no_nan, loss, weight)

  def _own(self, batch, outputs, training):
    """The objective's loss; a list of them where each moves its variables."""
    several = training and self._targets is not None
    loss = self.objective.losses if several else self.objective.loss
    return loss(batch, outputs, training)

  @contextlib.contextmanager
  def _once(self, count):
    """A context in which a batch smaller than the replicas, which each of them
    gets whole, is counted in the first replica's metrics alone."""
    if _replicas() == 1:
      yield
      return
    before = read(self.metric_state)
    yield
    context = tf.distribute.get_replica_context()
    first = tf.equal(context.replica_id_in_sync_group, 0)
    counts = first | tf.equal(count.examples, count.copied)
    keep(counts, self.metric_state, before)


def read(variables):
  """This replica's values of some tf.Variables."""
  return [v.read_value() for v in variables]


def write(variables, values):
  """Puts this replica's values back."""
  for variable, value in zip(variables, values, strict=True):
    variable.assign(value)


def keep(valid, variables, before):
  """Puts this replica's values back unless they are `valid`."""
  for variable, old in zip(variables, before, strict=True):
    variable.assign(tf.where(valid, variable.read_value(), old))


def _each(function, losses, *more):
  """A function of a loss, or of each in a list."""
  if isinstance(losses, list):
    return [function(one, *more) for one in losses]
  return function(losses, *more)


def _replicas():
  return tf.distribute.get_strategy().num_replicas_in_sync


def distinct(variables):
  """The tf.Variables of some Keras variables, each once."""
  return list({id(v): v.value for v in variables}.values())
