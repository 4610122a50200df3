"""Averaged weights: the model holds them except while it trains.

Training moves the raw weights w and averages a of them. The model holds a in
the place of w in a validation, so that best weights are averages, while
callables run at an epoch's end, and after a fit.
"""

import contextlib

import tensorflow as tf

from kernels import checks
from trainloop.judging.kept_weights import KeptWeights
from trainloop.model import phases
from trainloop.model.averaging import RunningAverage
from trainloop.model.schedule_free import Iterates, ScheduleFree


class Average(tf.Module):
  """Shows averages in the place of a model's weights, and hides them again.

  While they are shown, copies hold what training goes on from: w, a, and the
  model's other weights. Made under the strategy's scope; without weights it
  does nothing.

  Args:
    weights: tf.Variables of the model that have averages.
    averages: these, tf.Variables, as many.
    others: the model's other tf.Variables, as seeds.
    running: the `RunningAverage` or `Iterates` that holds them; None if an
      optimizer does.
    text: what they are, in words.

  Attributes:
    text: the same.
  """

  def __init__(self, weights=(), averages=(), others=(), running=None, text=""):
    super().__init__(name="average")
    # Functions: a checkpoint must not hold these variables a second time.
    self._pairs = lambda: zip(weights, averages, strict=True)
    self._raw = KeptWeights(lambda: [*weights, *averages])
    self._others = KeptWeights(lambda: others)
    self._running, self.text = running, text

  def __bool__(self):
    """Whether there are averages."""
    return bool(self._raw.copies)

  @property
  def copies(self):
    """What training goes on from, tf.Variables; valid while `show` holds."""
    further = [] if self._running is None else self._running.further
    return [*self._raw.copies, *self._others.copies, *further]

  @property
  def is_empty(self):
    """Whether no value is in the averages that the loop takes."""
    return self._running is not None and self._running.is_empty

  @property
  def by_cycle(self):
    """Whether they move at the ends of cycles."""
    return self._running is not None and self._running.option.by_cycle

  @property
  def moved(self):
    """The tf.Variables that move with each update, beside the optimizer's."""
    if self._running is None or self.by_cycle:
      return []
    return [*self._running.values, *self._running.further]

  def stepping(self, strategy, optimizer, moves):
    """A context around an optimizer's update; traced, cross-replica.

    Args:
      strategy: the `tf.distribute.Strategy`.
      optimizer: the Keras optimizer.
      moves: the `Moves` of the trainable variables.
    """
    if self._running is None:
      return contextlib.nullcontext()
    return self._running.stepping(strategy, optimizer, moves)

  def follow(self, strategy, values, moves, accepted=None):
    """Takes the weights of an update in; traced, cross-replica.

    Args:
      strategy, moves: see `stepping`.
      values: {name: float32 scalar} of the update's hyperparameters.
      accepted: whether it was applied, bool tensor; None: it was.
    """
    if self.moved:
      strategy.run(self._running.move, args=(values, moves, accepted))

  def end_cycle(self):
    """Takes the weights at a cycle's end in; on the host, in training."""
    if self.by_cycle:
      self._begin()
      self._end_cycle()

  @property
  def recomputes(self):
    """Whether statistics of averages are computed anew at a cycle's end."""
    return self.by_cycle and bool(self._running.option.recompute)

  @contextlib.contextmanager
  def restated(self, step):
    """As `swapped_in`; statistics that the model holds then are averages."""
    with self.swapped_in(step):
      yield
      self._restate()

  def show(self, step):
    """Puts the averages into the model, if they are not there; on the host.

    Args:
      step: updates done.
    """
    if self and not self._raw.holds:
      self._begin()
      self._show(tf.constant(step, tf.int64))

  def hide(self):
    """Undoes `show`; what was put into `copies` meanwhile holds."""
    if self and self._raw.holds:
      self._raw_back()
      self._raw.forget()

  @contextlib.contextmanager
  def swapped_in(self, step):
    """Shows the averages for as long as a `with` lasts."""
    self.show(step)
    try:
      yield
    finally:
      self.hide()

  def settle(self):
    """Copies the model's weights into the averages: before the first update,
    and after best weights, which are averages, were put into the model."""
    if self:
      self._settle()

  def go_on(self):
    """Before training: puts back all that it goes on from.

    Weights that somebody has set since stay, and training goes on from them.
    """
    if self and self._raw.holds:
      if bool(self._untouched()):
        self._raw_back()
        self._others_back()
      elif self._leads:
        self._restart()  # a mean of other weights' steps would undo them
      self._raw.forget()
    self._begin()

  @property
  def _leads(self):
    """Whether training follows the averages, not only they it."""
    return isinstance(self._running, Iterates)

  def _begin(self):
    """Before a first value is in them the averages are the weights."""
    if self.is_empty:
      self._restart()

  def _restart(self):
    """Has the averages, and what leads them, begin at the weights."""
    self._settle()
    if self._leads:
      self._begin_steps()

  @tf.function(autograph=False)
  def _begin_steps(self):
    self._running.begin()

  @tf.function(autograph=False)
  def _end_cycle(self):
    self._running.move()

  @tf.function(autograph=False)
  def _show(self, step):
    self._raw.keep(step)
    self._others.keep(step)
    for weight, average in self._pairs():
      weight.assign(tf.cast(average, weight.dtype))

  @tf.function(autograph=False)
  def _restate(self):
    pairs = list(self._pairs())
    copies = self._raw.copies[len(pairs) :]  # of averages: `hide` puts it back
    for copy, (weight, _) in zip(copies, pairs, strict=True):
      if not weight.trainable:
        copy.assign(tf.cast(weight, copy.dtype))

  @tf.function(autograph=False)
  def _raw_back(self):
    self._raw.restore()

  @tf.function(autograph=False)
  def _others_back(self):
    self._others.restore()

  @tf.function(autograph=False)
  def _settle(self):
    for weight, average in self._pairs():
      average.assign(tf.cast(weight, average.dtype))

  @tf.function(autograph=False)
  def _untouched(self):
    """Whether the model still holds the averages; bool tensor."""
    same = [
      tf.reduce_all(tf.equal(weight, tf.cast(average, weight.dtype)))
      for weight, average in self._pairs()
    ]
    return tf.reduce_all(tf.stack(same))


def of(optimizer, model, replicas, option=None):
  """The `Average` that is asked for; an empty one without.

  Args:
    optimizer: a built Keras optimizer, which may average by itself.
    model: the built keras.Model.
    replicas: how many there are.
    option: an `EMA`, a `CycleAverage`, a `ScheduleFree` or None.

  Raises:
    ValueError: if Keras' averaging can't run on so many replicas.
  """
  if isinstance(option, ScheduleFree):
    weights = [v.value for v in model.trainable_variables]
    return _shown(weights, Iterates(option, weights), model)
  if option is not None:
    # All floats: moving statistics are averaged, too.
    weights = [w.value for w in model.weights if _can_average(w.value)]
    _check_recompute(option, model)
    return _shown(weights, RunningAverage(option, weights), model)
  if not optimizer.use_ema:
    return Average()
  every = optimizer.ema_overwrite_frequency
  if every is not None and replicas > 1:
    rule = "None with several replicas, where Keras can't overwrite weights"
    checks.fail("optimizer.ema_overwrite_frequency", every, rule)
  # Nothing public says which average is whose; a test notices if these move.
  pairs = [
    (weight.value, average.value)
    for weight, average in zip(
      optimizer._trainable_variables,
      optimizer._model_variables_moving_average,
      strict=True,
    )
    if average is not None
  ]
  weights, averages = map(list, zip(*pairs, strict=True))
  text = f"of weights, decay {optimizer.ema_momentum:g}"
  found = Average(weights, averages, _others(model, weights), text=text)
  if not int(optimizer.iterations.numpy()):
    found.settle()  # before an update the average is the weights themselves
  return found


def _shown(weights, running, model):
  """The `Average` of what the loop itself follows weights with."""
  others = _others(model, weights)
  return Average(weights, running.values, others, running, running.option.text)


def _check_recompute(option, model):
  has_statistics = bool(phases.normalizations(model))
  if option.by_cycle and option.recompute and not has_statistics:
    rule = "without `recompute` for a model without BatchNormalization"
    checks.fail("average", option, rule)


def _can_average(weight):
  """Whether a tf.Variable is of numbers; a mask of -inf has no average."""
  if not weight.dtype.is_floating:
    return False
  return bool(tf.reduce_all(tf.math.is_finite(weight)))


def _others(model, averaged):
  """The model's tf.Variables without some of them."""
  ids = set(map(id, averaged))
  return [w.value for w in model.weights if id(w.value) not in ids]
