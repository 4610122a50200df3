"""One update of the model, in graph, over all replicas."""

import tensorflow as tf

from trainloop.compiled import replica as replica_lib
from trainloop.compiled.optimizer_step import OptimizerStep
from trainloop.devices import strategies
from trainloop.model import bounds
from trainloop.model.phases import Moves
from trainloop.model.rows import Row
from trainloop.model.scheduled_optimizer import LEARNING_RATE, MOMENTUM


class Update:
  """Forward, backward, the guard, the optimizer, metrics: one row.

  Args:
    strategy: the `tf.distribute.Strategy` of model and optimizer.
    replica: a `Replica`.
    binding: the optimizer's `Binding`.
    state: the run's `TrainState`.
    columns: names of the hyperparameters that it is given; see `table`.
    phase: the `Phase` of its fit.
    jit: whether XLA compiles it.
    skips: whether a refused update is passed over: the step advances and its
      row says skipped. Otherwise it ends the window, unless it was only the
      loss scale that was too large.
    watched: whether ids and labels out of their range refuse an update, too;
      that always ends the window.
    observe: called with each update's gradients while it is traced, or None.
  """

  def __init__(
    self,
    strategy,
    replica,
    binding,
    state,
    columns,
    phase,
    jit=False,
    skips=False,
    watched=False,
    observe=None,
  ):
    self._strategy = strategy
    self._replica = replica
    self._binding = binding
    self._state = state
    self._columns, self._phase = columns, phase
    self._jit = jit
    self._folds = jit and not strategies.on_gpu(strategy)
    self._skips, self.watched = skips, watched
    self._observe = observe
    self._scale = state.loss_scale
    self._step = OptimizerStep(strategy, binding, replica.variables, state, jit)

  @property
  def range_checks(self):
    """The `RangeChecks` that knows what an alarm is of."""
    return self._replica.range_checks

  def __call__(self, batch, count, given):
    """One update.

    Args:
      batch: per-replica (x, y, sample_weight).
      count: its `strategies.Count`.
      given: its row of the window's table, float32 (columns,).

    Returns:
      (row, halts, counted, alarm): float32 (columns of a row,); whether
      the update was refused and ends the window, bool scalar; what it adds to
      `Clock.totals`; an alarm (see `bounds`), None unless `watched`.
    """
    replica, run = self._replica, self._strategy.run
    values = dict(zip(self._columns, tf.unstack(given), strict=True))
    self._state.coefficients.give(values)
    guard = self._select if self._jit else self._branch
    moved = self._moved() if self._jit else replica.touched
    before = run(replica_lib.read, args=(moved,))
    moving = replica.moving
    statistics = run(moving.read) if moving.variables else None
    scale = None if self._scale is None else self._scale.value.read_value()
    check_mode = bounds.check_mode(self.watched, self._jit)
    moves = Moves(self._phase.frozen, self._binding.active(values))
    with self._phase.resting():
      gradients, loss, norm, outputs, alarm = run(
        replica.gradients,
        args=(batch, count, scale, check_mode, self._folds, moves),
      )
    if self._observe is not None:
      self._observe(gradients)
    if moving.variables:
      run(moving.average, args=(statistics, batch, count))
    losses, norm = strategies.first(self._strategy, (loss, norm))
    named, loss = self._binding.losses.named(losses)
    finite = tf.math.is_finite(loss) & tf.math.is_finite(norm)
    usable = self._usable(values)
    accepted = finite & usable
    if self.watched:
      alarm = strategies.first(self._strategy, alarm)
      accepted = accepted & (alarm[0] == 0)

    def apply():
      self._step(gradients, values, moves)
      run(replica.count, args=(batch, count, outputs))

    guard(accepted, apply, moved, before)
    if self._jit:
      # Averages follow the weights that the guard leaves: under its selects,
      # too, they cost three times as much.
      self._state.average.follow(self._strategy, values, moves, accepted)
    halts = self._halts(finite, usable, loss, alarm)
    row = self._row({**values, **named}, loss, norm, ~accepted)
    weight = tf.cast(count.examples, tf.float64)
    counted = tf.stack([tf.cast(loss, tf.float64) * weight, weight])
    # An update that was refused puts NaN into neither sum.
    counted = tf.where(accepted, counted, tf.zeros_like(counted))
    return row, halts, counted, alarm

  def _row(self, values, loss, norm, refused):
    """The row of an update; its momentum is the optimizer's own where it has
    no column, and NaN without one."""
    own = self._binding.momentum
    constant = tf.constant(float("nan") if own is None else own)
    momentum = values.get(MOMENTUM, constant)
    skipped = tf.cast(refused, tf.float32)
    row = Row(values[LEARNING_RATE], momentum, loss, norm, skipped)
    given = {**values, **self._binding.groups.values(values)}
    return tf.stack([*row, *(given[name] for name in self.layout.further)])

  @property
  def layout(self):
    """The `Layout` of its rows."""
    return self._binding.layout

  def _usable(self, values):
    """Whether all that it is given is finite; a row's momentum is NaN where
    the optimizer has none."""
    usable = tf.math.is_finite(values[LEARNING_RATE])
    for name, value in values.items():
      if name != LEARNING_RATE:
        usable = usable & tf.math.is_finite(value)
    return usable

  def _halts(self, finite, usable, loss, alarm):
    """Whether a refused update ends the window; moves the loss scale."""
    refused = ~finite
    has_alarm = tf.constant(False) if alarm is None else alarm[0] > 0
    if self._scale is not None:
      overflowed = self._scale.overflowed(finite, loss)
      self._scale.record(finite, overflowed, usable & ~has_alarm)
      refused = refused & ~overflowed
    return has_alarm if self._skips else refused | ~usable | has_alarm

  def finish(self, table, done):
    """Leaves the last of the `done` learning rates in the optimizer; one that
    is not finite was not used."""
    last = tf.unstack(table[tf.maximum(done, 1) - 1])
    values = dict(zip(self._columns, last, strict=True))

    def leave():
      self._binding.leave(values)
      return done

    usable = tf.math.is_finite(values[LEARNING_RATE])
    tf.cond((done > 0) & usable, leave, lambda: done)

  def metrics(self):
    """What `Replica.metric_state` holds, over all replicas; and behind it the
    loss scale, if there is one."""
    scale = [] if self._scale is None else [self._scale.value]
    return replica_lib.read([*self._replica.metric_state, *scale])

  def reset_metrics(self):
    """Starts the metrics again from zero."""
    self._strategy.run(self._replica.objective.reset)

  def _branch(self, accepted, apply, moved, before):
    """The graph's guard: a branch costs less than a select a variable."""

    def put_back():
      self._strategy.run(replica_lib.write, args=(moved, before))
      return tf.constant(False)

    def go():
      apply()
      return tf.constant(True)

    tf.cond(accepted, go, put_back)

  def _select(self, accepted, apply, moved, before):
    """XLA's guard: selects melt into the update's own loops, while a branch
    would copy every weight and slot around it."""
    apply()
    self._strategy.run(replica_lib.keep, args=(accepted, moved, before))

  def _moved(self):
    """The tf.Variables that an update may change."""
    model, optimizer = self._replica.model, self._binding.optimizer
    keras = [*model.variables, *optimizer.variables]
    metrics = self._replica.objective.variables
    moved = replica_lib.distinct([*keras, *metrics])
    moved += self._replica.carried
    return [*moved, *self._state.coefficients.products.values()]
