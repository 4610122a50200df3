"""Early stopping, plateau scale, best weights: decided in graph.

`Judge.verdict` judges one validation, by values that were reduced over all
replicas before. All state is tf.Variables that a checkpoint holds.
"""

import math

import tensorflow as tf

from trainloop.judging.basis import Basis
from trainloop.judging.directions import direction
from trainloop.judging.kept_weights import KeptWeights

# Why a run stops, by the number that the judge's variable holds.
REASONS = (None, "early_stopping", "target", "diverged")
_GO, _EARLY, _TARGET, _DIVERGED = range(4)


class _MonitorState(tf.Module):
  """The best value of one monitor and the validations since."""

  def __init__(self, options, name, signs):
    super().__init__(name=name)
    self.monitor, self._unit = options.monitor, options.unit
    self.sign = direction(options.monitor, options.mode, signs)
    self._min_delta = float(options.min_delta)
    self._relative = options.min_delta_mode == "relative"
    self._worst = -self.sign * math.inf
    self.best = tf.Variable(self._worst, dtype=tf.float64, trainable=False)
    self.wait = tf.Variable(0, dtype=tf.int64, trainable=False)

  def seen(self, due, annealed):
    """Whether a validation is one of those that are judged."""
    return annealed if self._unit == "cycle" else due

  def is_better(self, value):
    """Whether a value beats the best one, bool tensor."""
    return self.beats(value, self.best)

  def beats(self, value, other):
    """Whether a value is better than another by more than `min_delta`.

    NaN is never better, and nothing is better than an infinitely good value.
    The operations have the order that Keras uses.

    Returns:
      A bool tensor.
    """
    delta = tf.constant(self._min_delta, tf.float64)
    if self._relative:
      part = delta * tf.abs(other)
      delta = tf.where(tf.math.is_inf(other), tf.zeros_like(part), part)
    return value * self.sign - delta > other * self.sign

  def record(self, value, better, counts, resets):
    """Remembers one validation.

    Args:
      value: float64 scalar tensor.
      better: whether it is the best.
      counts: whether it counts towards patience.
      resets: whether the count of patience starts again.
    """
    self.best.assign(tf.where(better, value, self.best))
    waited = self.wait + tf.cast(counts, tf.int64)
    self.wait.assign(tf.where(resets, tf.zeros_like(waited), waited))

  def forget(self):
    """Starts anew; on the host."""
    self.best.assign(self._worst)
    self.wait.assign(0)


class Judge(tf.Module):
  """Early stopping and plateau over one run, with the best weights on device.

  Args:
    weights: the model's weights (keras.Variable), copied when one is best.
    early_stopping: an `EarlyStopping` or None.
    reduce_on_plateau: a `ReduceOnPlateau` or None.
    signs: {metric: -1 or 1}, see `directions.of_metrics`; or None.

  Attributes:
    basis: what it judges on, a `Basis`.
    scale: factor on the schedule's learning rate, float32 variable.
    best_step: index of the update before the best validation, -1 before one.
  """

  def __init__(self, weights, early_stopping, reduce_on_plateau, signs=None):
    super().__init__(name="judge")
    self._early_stopping = early_stopping
    self.reduce_on_plateau = reduce_on_plateau
    self.basis = Basis()
    self.scale = tf.Variable(1.0, dtype=tf.float32, trainable=False)
    self._stop = tf.Variable(_GO, dtype=tf.int64, trainable=False)
    self.best_step = tf.Variable(-1, dtype=tf.int64, trainable=False)
    self._best_epoch = tf.Variable(-1, dtype=tf.int64, trainable=False)
    weights = list(weights)
    self._weights = lambda: [w.value for w in weights]
    self._stop_watch = self._plateau_watch = self._plateau_best = None
    self._best_weights = None
    if early_stopping is not None:
      self._stop_watch = _MonitorState(early_stopping, "early_stopping", signs)
    if reduce_on_plateau is not None:
      name = "reduce_on_plateau"
      self._plateau_watch = _MonitorState(reduce_on_plateau, name, signs)
      self._cooldown = tf.Variable(0, dtype=tf.int64, trainable=False)

  def prepare(self, slots=lambda: [], raw=lambda: []):
    """Makes room for what is kept; once, under the strategy's scope.

    Args:
      slots: gives the optimizer's tf.Variables, once it is built.
      raw: gives those that hold what training goes on from while the model
        holds averages; see `Average`.
    """
    options, plateau = self._early_stopping, self.reduce_on_plateau
    keeps = options is not None and options.restore_best_weights
    if keeps and self._best_weights is None:
      whole = options.restore == "all"
      more = (lambda: [*slots(), *raw()]) if whole else (lambda: [])
      self._best_weights = KeptWeights(lambda: [*self._weights(), *more()])
    goes_back = plateau is not None and plateau.restore_best_first
    if goes_back and self._plateau_best is None:
      self._plateau_best = KeptWeights(lambda: [*self._weights(), *raw()])

  @property
  def monitors(self):
    """Names of the metrics that decide something."""
    watches = (self._stop_watch, self._plateau_watch)
    return [watch.monitor for watch in watches if watch is not None]

  @property
  def by_cycle(self):
    """Whether anything is judged at the ends of cycles."""
    both = (self._early_stopping, self.reduce_on_plateau)
    return any(one is not None and one.unit == "cycle" for one in both)

  @property
  def keeps_cycles(self):
    """Whether the weights at a cycle's end are kept."""
    options = self._early_stopping
    return options is not None and options.restore == "cycle_end"

  @property
  def stop_reason(self):
    """Why the run must stop, or None."""
    return REASONS[int(self._stop.numpy())]

  @property
  def best(self):
    """{"monitor", "value", "step", "epoch"} of the best validation, or {}."""
    if self._stop_watch is None or self.best_step.numpy() < 0:
      return {}
    return {
      "monitor": self._stop_watch.monitor,
      "value": float(self._stop_watch.best.numpy()),
      "step": int(self.best_step.numpy()),
      "epoch": int(self._best_epoch.numpy()),
    }

  def verdict(self, values, step, epoch, due=True, annealed=False, warm=False):
    """Judges one validation; called on the host.

    Args:
      values: {metric name: float}, holding the monitors.
      step: index of the last update done.
      epoch: the epoch it belongs to.
      due: whether it is one of the run's regular validations.
      annealed: whether a cycle ended with that update.
      warm: whether the schedule is still in its warmup.

    Returns:
      Why to stop, or None.
    """
    if not self.monitors:
      return None
    values = {
      name: tf.constant(values[name], tf.float64) for name in self.monitors
    }
    numbers = (tf.constant(i, tf.int64) for i in (step, epoch))
    flags = (tf.constant(bool(flag)) for flag in (due, annealed, warm))
    return REASONS[int(self._record(values, *numbers, *flags))]

  @tf.function(autograph=False)
  def _record(self, values, step, epoch, due, annealed, warm):
    if self._stop_watch is not None:
      since = epoch - self.basis.epoch
      late = since > self._early_stopping.start_from_epoch
      seen = self._stop_watch.seen(due, annealed) & late
      value = values[self._stop_watch.monitor]
      self._judge_stop(value, step, epoch, seen, seen & ~warm)
    if self._plateau_watch is not None:
      counts = self._plateau_watch.seen(due, annealed) & ~warm
      value = values[self._plateau_watch.monitor]
      _when(counts, lambda: self._judge_plateau(value, step))
    return self._stop.read_value()

  def _judge_stop(self, value, step, epoch, seen, counts):
    options, watch = self._early_stopping, self._stop_watch
    reached = tf.constant(False)
    if options.target is not None:
      reached = value * watch.sign >= options.target * watch.sign
    better = watch.is_better(value) & (seen | reached)
    ends = better
    if options.baseline is not None:
      baseline = tf.constant(options.baseline, tf.float64)
      ends = better & watch.beats(value, baseline)
    watch.record(value, better, counts, ends)
    early = counts & ~better & (watch.wait >= max(1, options.patience))
    stop = tf.where(early, _EARLY, _GO)
    stop = tf.where(reached, _TARGET, stop)
    if options.divergence is not None:
      # Asked this way round so that NaN is out of bounds, too.
      within = value * watch.sign >= options.divergence * watch.sign
      stop = tf.where(within, stop, _DIVERGED)
    self._stop.assign(tf.cast(stop, tf.int64))

    def remember():
      self.best_step.assign(step)
      self._best_epoch.assign(epoch)
      if self._best_weights is not None and not self.keeps_cycles:
        self._best_weights.keep(step)

    _when(better, remember)

  def _judge_plateau(self, value, step):
    options, watch = self.reduce_on_plateau, self._plateau_watch
    better = watch.is_better(value)
    resting = self._cooldown > 0
    watch.record(value, better, ~resting, better)
    watch.wait.assign(tf.where(resting, tf.zeros_like(watch.wait), watch.wait))
    cut = tf.logical_and(
      watch.wait >= options.patience, self.scale > options.min_scale
    )
    lower = tf.maximum(self.scale * options.factor, options.min_scale)
    self.scale.assign(tf.where(cut, lower, self.scale))
    rest = tf.maximum(self._cooldown - 1, 0)
    pause = tf.constant(options.cooldown, tf.int64)
    self._cooldown.assign(tf.where(cut, pause, rest))
    watch.wait.assign(tf.where(cut, tf.zeros_like(watch.wait), watch.wait))
    if self._plateau_best is not None:
      best = self._plateau_best
      _when(better, lambda: best.keep(step))
      _when(cut & (best.step >= 0), best.restore)

  @tf.function(autograph=False)
  def end_cycle(self, step):
    """A cycle ended with update `step`, an int64 scalar tensor."""
    if self.keeps_cycles:
      self._best_weights.keep(step)

  def restore_best(self):
    """Puts back what was kept, if something was; on the host.

    Returns:
      The updates done when it was kept, an int; None where there is nothing.
    """
    if self._best_weights is None or not self._best_weights.holds:
      return None
    self._restore()
    return int(self._best_weights.step.numpy()) + 1

  @tf.function(autograph=False)
  def _restore(self):
    self._best_weights.restore()

  def begin(self, anew, data, epoch):
    """Prepares judging for another fit: goes on, or resets; on the host.

    Where it goes on, the best value and the count of patience stay; after a
    fit that stopped early the count is 0 again, or the new fit would stop at
    once.

    Args:
      anew, data, epoch: see `Basis.begin`.
    """
    stopped = self.stop_reason == "early_stopping"
    self._stop.assign(_GO)
    if not self.basis.begin(anew, data, epoch):
      self._forget()
    elif stopped:
      self._stop_watch.wait.assign(0)

  def unscale(self):
    """Puts the learning rates' scale back to 1; on the host."""
    self.scale.assign(1.0)

  def _forget(self):
    """Forgets all that belongs to the fits before."""
    self.best_step.assign(-1)
    self._best_epoch.assign(-1)
    self.unscale()
    if self._plateau_watch is not None:
      self._cooldown.assign(0)
    parts = (
      self._stop_watch,
      self._plateau_watch,
      self._best_weights,
      self._plateau_best,
    )
    for part in parts:
      if part is not None:
        part.forget()


def _when(condition, act):
  """Runs `act`, which gives nothing, where the condition holds; in graph."""

  def acting():
    act()
    return tf.constant(True)

  tf.cond(condition, acting, lambda: tf.constant(False))
