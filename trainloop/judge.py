"""Early stopping, plateau scale, best weights: decided in graph.

All state is tf.Variables that a checkpoint holds. `is_better` changes nothing;
`record` is where a validation is remembered.
"""

import dataclasses
import math

import tensorflow as tf

from kernels import checks

_MODES = ("auto", "min", "max")
_UNITS = ("epoch",)
# Directions of Keras' metrics, by the parts of their names; the rest must say.
_MAX = ("accuracy", "acc", "auc", "precision", "recall", "f1", "fbeta", "iou")
_MIN = ("loss", "error", "mse", "mae", "mape", "msle", "crossentropy")


@dataclasses.dataclass(frozen=True)
class EarlyStopping:
  """Stops a run whose validations no longer get better.

  A validation is better if it beats the best one by more than `min_delta`;
  NaN is never better. The run stops at the `patience`-th validation in a row
  that was not (patience 0 and 1 both stop at the first).

  Args:
    monitor: name of a metric: "val_loss", "val_accuracy", "loss", ...
    patience: validations without improvement, int >= 0.
    min_delta: least improvement that counts, >= 0.
    mode: "min", "max", or "auto" by the metric's name.
    restore_best_weights: whether the run ends with the best weights seen.
    unit: what patience counts: "epoch", one validation each.

  Raises:
    ValueError: if a field breaks its rule; in a loop also if "auto" does not
      know the metric.

  Prechelt 1998, "Early Stopping - But When?".
  """

  monitor: str = "val_loss"
  patience: int = 5
  min_delta: float = 0.0
  mode: str = "auto"
  restore_best_weights: bool = True
  unit: str = "epoch"

  def __post_init__(self):
    checks.integer("patience", self.patience, 0)
    checks.rate("min_delta", self.min_delta)
    checks.choice("unit", self.unit, _UNITS)
    _check_monitor(self)


@dataclasses.dataclass(frozen=True)
class ReduceOnPlateau:
  """Scales the schedule down when validations stop getting better.

  lr = schedule(t) x scale; scale starts at 1 and is multiplied by `factor` at
  the `patience`-th validation in a row that is not better.

  Args:
    monitor: name of a metric.
    mode: "min", "max", or "auto" by the metric's name.
    patience: validations without improvement, int >= 1.
    min_delta: least improvement that counts, >= 0.
    factor: multiplier of a cut, in (0, 1).
    cooldown: validations after a cut that are not counted, int >= 0.
    min_scale: least scale, in (0, 1].

  Raises:
    ValueError: if a field breaks its rule; in a loop also if "auto" does not
      know the metric.
  """

  monitor: str = "val_loss"
  mode: str = "auto"
  patience: int = 2
  min_delta: float = 0.0
  factor: float = 0.1
  cooldown: int = 0
  min_scale: float = 1e-4

  def __post_init__(self):
    checks.integer("patience", self.patience, 1)
    checks.rate("min_delta", self.min_delta)
    checks.integer("cooldown", self.cooldown, 0)
    open_unit = "a number in (0, 1)"
    checks.number("factor", self.factor, open_unit, lambda v: 0 < v < 1)
    half_open = "a number in (0, 1]"
    checks.number("min_scale", self.min_scale, half_open, lambda v: 0 < v <= 1)
    _check_monitor(self)


def direction(monitor, mode):
  """-1 where less is better, 1 where more is.

  Args:
    monitor: name of a metric, with or without "val_".
    mode: "min", "max" or "auto".

  Returns:
    -1 or 1.

  Raises:
    ValueError: if the mode is unknown, or "auto" does not know the metric.
  """
  if mode != "auto":
    return {"min": -1, "max": 1}[mode]
  words = monitor.replace("-", "_").split("_")
  found = {-1 for word in words if word in _MIN}
  found |= {1 for word in words if word in _MAX}
  if any(word in monitor for word in ("error", "crossentropy")):
    found.add(-1)
  if len(found) != 1:
    rule = f"'min' or 'max', because it is not known which {monitor} wants"
    checks.fail("mode", mode, rule)
  return found.pop()


def _check_monitor(options):
  """Rules for the fields that both kinds of options have."""
  checks.choice("mode", options.mode, _MODES)
  if not isinstance(options.monitor, str) or not options.monitor:
    checks.fail("monitor", options.monitor, "the name of a metric")


class _Watch(tf.Module):
  """The best value of one monitor and the validations since."""

  def __init__(self, options, name):
    super().__init__(name=name)
    self.monitor = options.monitor
    self._sign = direction(options.monitor, options.mode)
    self._min_delta = float(options.min_delta)
    worst = -self._sign * math.inf
    self.best = tf.Variable(worst, dtype=tf.float64, trainable=False)
    self.wait = tf.Variable(0, dtype=tf.int64, trainable=False)

  def is_better(self, value):
    """bool tensor; NaN compares as not better."""
    gain = (value - self.best) * self._sign
    first = tf.logical_and(tf.math.is_inf(self.best), tf.math.is_finite(value))
    return tf.logical_or(gain > self._min_delta, first)

  def record(self, value, better):
    """Remembers one validation."""
    self.best.assign(tf.where(better, value, self.best))
    self.wait.assign(tf.where(better, tf.zeros_like(self.wait), self.wait + 1))


class Judge(tf.Module):
  """Early stopping and plateau over one run, with the best weights on device.

  Args:
    weights: the model's weights (keras.Variable), copied when one is best.
    early_stopping: an `EarlyStopping` or None.
    reduce_on_plateau: a `ReduceOnPlateau` or None.
  """

  def __init__(self, weights, early_stopping, reduce_on_plateau):
    super().__init__(name="judge")
    self.early_stopping = early_stopping
    self.reduce_on_plateau = reduce_on_plateau
    self.scale = tf.Variable(1.0, dtype=tf.float32, trainable=False)
    self.stop = tf.Variable(False, trainable=False)
    self.best_step = tf.Variable(-1, dtype=tf.int64, trainable=False)
    self.best_epoch = tf.Variable(-1, dtype=tf.int64, trainable=False)
    self._weights, self.best_weights = list(weights), []
    self._stop_watch = self._plateau_watch = None
    if early_stopping is not None:
      self._stop_watch = _Watch(early_stopping, "early_stopping")
      if early_stopping.restore_best_weights:
        self.best_weights = [
          tf.Variable(w.value, trainable=False) for w in self._weights
        ]
    if reduce_on_plateau is not None:
      self._plateau_watch = _Watch(reduce_on_plateau, "reduce_on_plateau")
      self._cooldown = tf.Variable(0, dtype=tf.int64, trainable=False)

  @property
  def monitors(self):
    """Names of the metrics that decide something."""
    watches = (self._stop_watch, self._plateau_watch)
    return [watch.monitor for watch in watches if watch is not None]

  @property
  def best(self):
    """{"monitor", "value", "step", "epoch"} of the best validation, or {}."""
    if self._stop_watch is None or self.best_step.numpy() < 0:
      return {}
    return {
      "monitor": self._stop_watch.monitor,
      "value": float(self._stop_watch.best.numpy()),
      "step": int(self.best_step.numpy()),
      "epoch": int(self.best_epoch.numpy()),
    }

  def verdict(self, values, step, epoch):
    """Judges one validation; called on the host.

    Args:
      values: {metric name: float}, holding the monitors.
      step: index of the last update done.
      epoch: the epoch it belongs to.

    Returns:
      Whether to stop.
    """
    if not self.monitors:
      return False
    values = {
      name: tf.constant(values[name], tf.float64) for name in self.monitors
    }
    step, epoch = (tf.constant(i, tf.int64) for i in (step, epoch))
    return bool(self._record(values, step, epoch))

  @tf.function(autograph=False)
  def _record(self, values, step, epoch):
    if self._stop_watch is not None:
      self._judge_stop(values[self._stop_watch.monitor], step, epoch)
    if self._plateau_watch is not None:
      self._judge_plateau(values[self._plateau_watch.monitor])
    return self.stop.read_value()

  def _judge_stop(self, value, step, epoch):
    watch = self._stop_watch
    better = watch.is_better(value)
    watch.record(value, better)
    patience = max(1, self.early_stopping.patience)
    self.stop.assign(watch.wait >= patience)

    def remember():
      self.best_step.assign(step)
      self.best_epoch.assign(epoch)
      for copy, weight in zip(self.best_weights, self._weights, strict=False):
        copy.assign(weight.value)
      return tf.constant(True)

    tf.cond(better, remember, lambda: tf.constant(False))

  def _judge_plateau(self, value):
    options, watch = self.reduce_on_plateau, self._plateau_watch
    better = watch.is_better(value)
    resting = self._cooldown > 0
    watch.record(value, better)
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

  @property
  def has_best(self):
    """Whether there are best weights to put back."""
    return bool(self.best_weights) and int(self.best_step.numpy()) >= 0

  @tf.function(autograph=False)
  def restore_best(self):
    """Puts the best weights back; there must be some (`has_best`)."""
    for copy, weight in zip(self.best_weights, self._weights, strict=True):
      weight.value.assign(copy)

  def restart(self):
    """Forgets waits and the stop before another fit; keeps the best."""
    self.stop.assign(False)
    if self._stop_watch is not None:
      self._stop_watch.wait.assign(0)
