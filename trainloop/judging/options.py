"""What early stopping and plateau go by: the options, checked when made."""

import dataclasses
import typing

from kernels import checks

UNITS = ("epoch", "cycle")
RESTORES = ("weights", "all", "cycle_end")
_MODES = ("auto", "min", "max")
_DELTAS = ("absolute", "relative")


@dataclasses.dataclass(frozen=True)
class EarlyStopping:
  """Stops a run whose validations no longer get better.

  A validation is better if it beats the best one by more than `min_delta`;
  NaN is never better. The run stops at the `patience`-th validation in a row
  that was not (patience 0 and 1 both stop at the first). Validations during
  a schedule's warmup are not counted. The best and the count belong to a fit,
  unless the next one goes on with the same data and schedule.

  Args:
    monitor: name of a metric: "val_loss", "val_accuracy", "loss", ...
    patience: validations without improvement, int >= 0.
    min_delta: improvement that must be exceeded, >= 0.
    mode: "min", "max", or "auto": as the Keras metric says, else by its name.
    restore_best_weights: whether the run ends, stopped or complete, with what
      `restore` names.
    unit: what patience counts: "epoch", one validation each; or "cycle": only
      validations at a cycle's end, where the rate is annealed, are judged.
    target: the run stops with the reason "target" at any validation that is
      this good; a finite number, or None.
    divergence: it stops with the reason "diverged" at any validation that is
      worse than this, or NaN; a finite number, or None.
    restore: "weights": those of the best validation; "all": optimizer slots
      and its count of updates too; "cycle_end": the weights at the end of the
      last finished cycle.
    min_delta_mode: "absolute", in the monitor's unit; or "relative", as a
      fraction of the best value, in [0, 1).
    baseline: a finite number, or None. A validation that is better than the
      best, but not than this, becomes the best and still counts towards
      `patience`, which ends the run only at one that is not the best.
    start_from_epoch: epochs at the start that are not looked at, int >= 0;
      but for `target` and `divergence`, which hold from the first validation.

  Raises:
    ValueError: if a field breaks its rule; in a loop also if "auto" does not
      know the metric, or the schedule has no cycle to judge by.

  Prechelt 1998, "Early Stopping - But When?".

  >>> trainloop.EarlyStopping("val_accuracy", target=0.99).patience
  5
  """

  monitor: str = "val_loss"
  patience: int = 5
  min_delta: float = 0.0
  mode: str = "auto"
  restore_best_weights: bool = True
  unit: str = "epoch"
  target: float | None = None
  divergence: float | None = None
  restore: str = "weights"
  min_delta_mode: str = "absolute"
  baseline: float | None = None
  start_from_epoch: int = 0

  def __post_init__(self):
    checks.integer("patience", self.patience, 0)
    checks.integer("start_from_epoch", self.start_from_epoch, 0)
    checks.boolean("restore_best_weights", self.restore_best_weights)
    _check_common(self)
    for name in ("target", "divergence", "baseline"):
      value = getattr(self, name)
      if value is not None:
        checks.number(name, value, "a finite number or None", lambda v: True)
    checks.choice("restore", self.restore, RESTORES)
    if self.restore != "weights" and not self.restore_best_weights:
      rule = "'weights' where `restore_best_weights` is off"
      checks.fail("restore", self.restore, rule)


@dataclasses.dataclass(frozen=True)
class ReduceOnPlateau:
  """Scales the schedule down when validations stop getting better.

  lr = schedule(t) x scale, whatever the schedule: base and peak of a cycle
  shrink together. The scale starts at 1 and is multiplied by `factor` at the
  `patience`-th validation in a row that is not better; a fit with another
  schedule or other data starts at 1 again. Validations during a schedule's
  warmup are not counted.

  Args:
    monitor: name of a metric.
    mode: "min", "max", or "auto": as the Keras metric says, else by its name.
    patience: validations without improvement, int >= 1.
    min_delta: improvement that must be exceeded, >= 0.
    factor: multiplier of a cut, in (0, 1).
    cooldown: validations after a cut that are not counted, int >= 0.
    min_scale: least scale, in (0, 1].
    unit: "epoch": every validation is judged; "cycle": only those at a
      cycle's end, so that a cut comes there and nowhere else.
    restore_best_first: whether a cut puts the best weights back before.
    min_delta_mode: "absolute", or "relative" to the best; see `EarlyStopping`.

  Raises:
    ValueError: if a field breaks its rule; in a loop also if "auto" does not
      know the metric, or the schedule has no cycle to judge by.

  >>> trainloop.ReduceOnPlateau(patience=0)
  Traceback (most recent call last):
    ...
  kernels.checks.ArgumentError: `patience` must be an integer >= 1; got 0
  """

  monitor: str = "val_loss"
  mode: str = "auto"
  patience: int = 2
  min_delta: float = 0.0
  factor: float = 0.1
  cooldown: int = 0
  min_scale: float = 1e-4
  unit: str = "epoch"
  restore_best_first: bool = False
  min_delta_mode: str = "absolute"

  def __post_init__(self):
    checks.integer("patience", self.patience, 1)
    _check_common(self)
    checks.integer("cooldown", self.cooldown, 0)
    open_unit = "a number in (0, 1)"
    checks.number("factor", self.factor, open_unit, lambda v: 0 < v < 1)
    half_open = "a number in (0, 1]"
    checks.number("min_scale", self.min_scale, half_open, lambda v: 0 < v <= 1)
    checks.boolean("restore_best_first", self.restore_best_first)


class Judging(typing.NamedTuple):
  """What judges a run.

  Attributes:
    early_stopping: an `EarlyStopping` or None.
    reduce_on_plateau: a `ReduceOnPlateau` or None.
  """

  early_stopping: EarlyStopping | None = None
  reduce_on_plateau: ReduceOnPlateau | None = None

  @property
  def monitors(self):
    """Names of the metrics that decide something."""
    return [one.monitor for one in self if one is not None]

  def or_else(self, other):
    """This `Judging`, with what it lacks from another, or from a `Recipe`."""
    return Judging(
      self.early_stopping or other.early_stopping,
      self.reduce_on_plateau or other.reduce_on_plateau,
    )


def judging(early_stopping, reduce_on_plateau):
  """The `Judging` that a user asks for.

  Raises:
    ValueError: if one of the two is something else.
  """
  for name, value, kind in (
    ("early_stopping", early_stopping, EarlyStopping),
    ("reduce_on_plateau", reduce_on_plateau, ReduceOnPlateau),
  ):
    if value is not None and not isinstance(value, kind):
      checks.fail(name, value, f"a trainloop.{kind.__name__} or None")
  return Judging(early_stopping, reduce_on_plateau)


def _check_common(options):
  """Rules for the fields that both kinds of options have."""
  checks.choice("mode", options.mode, _MODES)
  checks.choice("unit", options.unit, UNITS)
  checks.rate("min_delta", options.min_delta)
  if (
    checks.choice("min_delta_mode", options.min_delta_mode, _DELTAS)
    == "relative"
  ):
    rule = "a fraction in [0, 1) with min_delta_mode='relative'"
    checks.number("min_delta", options.min_delta, rule, lambda v: v < 1)
  if not isinstance(options.monitor, str) or not options.monitor:
    checks.fail("monitor", options.monitor, "the name of a metric")
