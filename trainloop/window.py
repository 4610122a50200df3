"""The inner loop, in graph: n updates in one compiled call, one row each."""

import tensorflow as tf

from trainloop import bias_correction, distribution, feed

# Columns of a row; the step itself is the window's first step plus the index.
COLUMNS = ("learning_rate", "momentum", "loss", "grad_norm", "skipped")


class Window:
  """n updates of one model in one compiled call, whatever n is.

  Everything runs in cross-replica context except what goes to `strategy.run`.

  Args:
    strategy: the `tf.distribute.Strategy` of model and optimizer.
    step: a `Step`.
    binding: the optimizer's `Binding`.
    state: the run's `TrainState`.
    schedule: a `kernels.Schedule`.
    capacity: most updates of a call of the XLA engine, one program for all
      up to it; None for the graph engine, which takes any number.
    skips: whether a refused update is passed over: the step advances and its
      row says skipped. Otherwise it ends the window.
    watch: looks at each row in graph, gives the row to keep and whether it
      ends the window; None for training.
  """

  def __init__(
    self,
    strategy,
    step,
    binding,
    state,
    schedule,
    capacity=None,
    skips=False,
    watch=None,
  ):
    self._strategy = strategy
    self._step = step
    self._binding = binding
    self._state = state
    self._schedule = schedule
    self._capacity = capacity
    self._skips, self._watch = skips, watch
    self._feed = feed.Feed(strategy, jit=capacity is not None)

  def __call__(self, source, indices, n):
    """Does n updates, one a batch; one that is not finite is not applied.

    Args:
      source: see `Feed`.
      indices: int32 (n, batch), the examples of each update; for an iterator
        anything.
      n: int.

    Returns:
      (rows, done, halted): float32 (>= n, 5) of `COLUMNS`, of which the first
      `done` hold; and whether the update after them was refused and ended the
      window, whose row then stands at index `done`.
    """
    if self._capacity is not None:
      # A short window shares the program of a full one. The partial last
      # batch of an epoch has a shape, and so a program, of its own.
      indices = tf.pad(indices, [[0, self._capacity - n], [0, 0]])
    return self._feed.call(self._train, source, indices, tf.constant(n))

  @property
  def traces(self):
    """How often the window was traced."""
    return self._feed.traces(self._train)

  def _train(self, fetch, indices, n):
    size = n if self._capacity is None else tf.constant(self._capacity)
    rates, momenta = self._plan(size)
    width = len(COLUMNS)
    buffer = tf.TensorArray(tf.float32, size=size, element_shape=[width])

    def body(i, halted, rows):
      row, finite = self._update(fetch(indices, i), rates[i], momenta[i])
      if not self._skips:
        halted = ~finite
      done = i + tf.cast(~halted, tf.int32)
      if self._watch is not None:
        row, ended = self._watch(row)
        halted = halted | ended
      return done, halted, rows.write(i, row)

    done, halted, rows = tf.while_loop(
      lambda i, halted, rows: (i < n) & ~halted,
      body,
      (tf.constant(0), tf.constant(False), buffer),
      parallel_iterations=1,
    )
    return rows.stack(), done, halted

  def _plan(self, n):
    """The window's learning rates and momenta, float32 (n,), in graph.

    One vector call a window: a kernel gives the same bits for a vector as for
    its elements, and a call a step would cost 30 us of small ops.
    """
    state = self._state
    first = state.global_step - state.schedule_start
    steps = first + tf.range(tf.cast(n, tf.int64))
    rates, momenta = self._schedule(steps)
    if momenta is None:
      own = self._binding.momentum
      momenta = tf.fill([n], float("nan") if own is None else own)
    return rates * state.judge.scale * state.rate_scale, momenta

  def _update(self, fetched, learning_rate, momentum):
    """One update; returns its row and whether it was finite."""
    (batch, count), step = fetched, self._step
    before = self._strategy.run(step.read, args=(step.touched,))
    moving, run = step.moving, self._strategy.run
    statistics = run(moving.read) if moving.variables else None
    gradients, loss, norm, y_pred = run(step.gradients, args=(batch, count))
    if moving.variables:
      run(moving.average, args=(statistics, batch, count))
    loss, norm = distribution.first(self._strategy, (loss, norm))
    finite = tf.math.is_finite(loss) & tf.math.is_finite(norm)

    def apply():
      self._apply(gradients, learning_rate, momentum)
      self._strategy.run(step.update_metrics, args=(batch, y_pred))
      self._state.count(loss, count)
      self._state.global_step.assign_add(1)
      return tf.constant(0.0)

    def refuse():
      self._strategy.run(step.write, args=(step.touched, before))
      if self._skips:
        self._state.skipped.assign_add(1)
        self._state.global_step.assign_add(1)
      return tf.constant(1.0)

    skipped = tf.cond(finite, apply, refuse)
    row = tf.stack([learning_rate, momentum, loss, norm, skipped])
    return row, finite

  def _apply(self, gradients, learning_rate, momentum):
    """The optimizer's update; traced, cross-replica."""
    self._binding.apply(
      self._strategy,
      gradients,
      self._step.variables,
      learning_rate,
      momentum if self._schedule.moves_momentum else None,
      self._correction(momentum),
    )

  def _correction(self, momentum):
    """Counts an update's momentum; its correction, or None if none is asked."""
    product = self._state.momentum_product
    if product is None:
      return None
    product.assign(product * tf.cast(momentum, tf.float64))
    optimizer = self._binding.optimizer
    return bias_correction.factor(optimizer, momentum, product)
