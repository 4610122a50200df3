"""Recipes: schedules in epochs, in ktrain's vocabulary.

  loop = trainloop.TrainLoop(..., schedule=trainloop.recipes.autofit(5e-3))
  loop.fit(train, validation=valid)          # what autofit brings
  loop.fit(train, 3, schedule=trainloop.recipes.one_cycle(5e-4))

A recipe becomes a kernel once the steps of an epoch are known.
"""

import dataclasses
import typing

import kernels
from kernels import checks, interop
from trainloop.base import durations
from trainloop.judging.options import EarlyStopping, ReduceOnPlateau

_PER = ("update", "epoch")
_MOMENTUM = (0.95, 0.85)
_PLENTY = 1024  # epochs of an autofit that early stopping is to end


@dataclasses.dataclass(frozen=True)
class Recipe:
  """A schedule in epochs, and what else belongs to it.

  A `fit` without `epochs` takes the recipe's epochs, early stopping and
  plateau, too; a `fit` with `epochs` takes the schedule alone.

  Attributes:
    text: the call that made it, for messages.
    make: function of (steps_per_epoch, epochs) that gives the kernel.
    epochs: epochs that it is for, or None for those of the fit.
    early_stopping: an `EarlyStopping` it brings, or None.
    reduce_on_plateau: a `ReduceOnPlateau` it brings, or None.
  """

  text: str
  make: typing.Callable = dataclasses.field(repr=False)
  epochs: int | None = None
  early_stopping: EarlyStopping | None = None
  reduce_on_plateau: ReduceOnPlateau | None = None

  def schedule_for(self, steps_per_epoch, epochs=None):
    """The recipe's kernel.

    Args:
      steps_per_epoch: updates of an epoch, int >= 1.
      epochs: epochs of the fit, int >= 1; None for the recipe's own.

    Returns:
      A `kernels.Schedule`.

    Raises:
      ValueError: if there is no number of epochs, or it does not fit.
    """
    steps = checks.integer("steps_per_epoch", steps_per_epoch, 1)
    return self.make(steps, self.epochs_of(epochs))

  def epochs_of(self, epochs=None):
    """The epochs of a fit that asks for `epochs`, or None: the recipe's."""
    if epochs is None:
      epochs = self.epochs
    if epochs is None:
      checks.fail("epochs", None, f"given, because {self.text} brings none")
    return checks.integer("epochs", epochs, 1)


def one_cycle(peak_lr, preset="ktrain"):
  """1cycle over the whole fit; see `kernels.OneCycle.preset`.

  Args:
    peak_lr: highest rate.
    preset: "ktrain", "torch", "fastai" or "optax".

  Returns:
    A `Recipe`.

  Raises:
    ValueError: if an argument breaks its rule.

  Smith & Topin 2018, "Super-Convergence".

  >>> trainloop.recipes.one_cycle(0.1).schedule_for(10, epochs=3).total_steps
  30
  """

  def make(steps, epochs):
    return kernels.OneCycle.preset(preset, peak_lr, steps * epochs)

  make(1, 1)  # refuses now what it can't make then
  return Recipe(f"one_cycle({peak_lr!r}, {preset!r})", make)


def sgdr(
  peak_lr,
  cycle_epochs=1,
  cycle_mult=1.0,
  peak_decay=1.0,
  floor_lr=0.0,
  cycles=None,
  momentum=None,
):
  """Cosine restarts in whole epochs, rounded up; see `CosineRestarts`.

  Args:
    peak_lr: rate at the start of cycle 0.
    cycle_epochs: epochs of cycle 0, int >= 1.
    cycle_mult: growth of a cycle's length, > 0; 3 x 1.5 makes 5, then 8.
    peak_decay: factor on the peak at each restart.
    floor_lr: rate that a cycle falls towards.
    cycles: number of cycles, which sets the recipe's epochs; or None.
    momentum: (at low lr, at high lr) or None.

  Returns:
    A `Recipe`.

  Raises:
    ValueError: if an argument breaks its rule.

  Loshchilov & Hutter 2017, "SGDR".

  >>> recipe = trainloop.recipes.sgdr(0.1, cycle_mult=2, cycles=3)
  >>> recipe.epochs, recipe.schedule_for(10).cycle_starts(100)
  (7, [10, 30])
  """
  checks.integer("cycle_epochs", cycle_epochs, 1)

  def make(steps, epochs):
    del epochs
    return kernels.CosineRestarts(
      peak_lr,
      cycle_epochs * steps,
      cycle_mult,
      peak_decay,
      floor_lr,
      cycles,
      steps,
      momentum,
    )

  text = f"sgdr({peak_lr!r}, {cycle_epochs!r}, {cycle_mult!r}, {peak_decay!r})"
  return Recipe(text, make, make(1, 1).total_steps)


def autofit(peak_lr, epochs=None, momentum=_MOMENTUM):
  """Triangular cycles of one epoch, from peak / 10 up and down to peak / 1000.

  Without `epochs` it brings early stopping of patience 5, a plateau of
  patience 2 and factor 0.5, both on val_loss, and up to 1024 epochs.

  Args:
    peak_lr: top of a cycle.
    epochs: epochs of the recipe, int >= 1, or None.
    momentum: (at low lr, at high lr), or None to leave it alone.

  Returns:
    A `Recipe`.

  Raises:
    ValueError: if an argument breaks its rule.

  Smith 2017, "Cyclical Learning Rates for Training Neural Networks".

  >>> recipe = trainloop.recipes.autofit(0.1)
  >>> recipe.epochs, recipe.early_stopping.patience
  (1024, 5)
  """

  def make(steps, epochs):
    del epochs
    if steps < 2:
      rule = "at least 2, a step up and a step down"
      checks.fail("steps_per_epoch", steps, rule)
    return kernels.Triangular(
      peak_lr / 10,
      peak_lr,
      steps - steps // 2,
      steps // 2,
      final_lr=peak_lr / 1000,
      momentum=momentum,
    )

  checks.rate("peak_lr", peak_lr)
  make(2, 1)
  if epochs is not None:
    checks.integer("epochs", epochs, 1)
    return Recipe(f"autofit({peak_lr!r}, {epochs!r})", make, epochs)
  stopping = EarlyStopping("val_loss", patience=5)
  plateau = ReduceOnPlateau("val_loss", patience=2, factor=0.5)
  return Recipe(f"autofit({peak_lr!r})", make, _PLENTY, stopping, plateau)


def warmup_cosine(peak_lr, warmup="10%", final_lr=0.0, momentum=None):
  """A line up, then a cosine down to the fit's end; see `WarmupCosine`.

  Args:
    peak_lr: highest rate.
    warmup: duration of the line, as "1ep", "500st" or "10%".
    final_lr: rate at the end.
    momentum: (at low lr, at high lr) or None.

  Returns:
    A `Recipe`.

  Raises:
    ValueError: if an argument breaks its rule.
  """

  def make(steps, epochs):
    total = steps * epochs
    up = durations.to_steps("warmup", warmup, steps, total)
    return kernels.WarmupCosine(
      peak_lr, up, total, final_lr=final_lr, momentum=momentum
    )

  durations.parse("warmup", warmup)
  kernels.WarmupCosine(peak_lr, 0, 1, final_lr=final_lr, momentum=momentum)
  return Recipe(f"warmup_cosine({peak_lr!r}, {warmup!r})", make)


def time_based(lr, decay, per="update"):
  """lr / (1 + decay t), t the updates done, or the epochs done.

  Keras' own `decay` counted updates; articles about it write epochs.

  Args:
    lr: first rate.
    decay: > 0.
    per: "update" or "epoch".

  Returns:
    A `Recipe`.

  Raises:
    ValueError: if an argument breaks its rule.
  """
  by_epoch = checks.choice("per", per, _PER) == "epoch"

  def make(steps, epochs):
    del epochs
    return kernels.InverseTime(lr, steps if by_epoch else 1, decay, by_epoch)

  make(1, 1)
  return Recipe(f"time_based({lr!r}, {decay!r}, {per!r})", make)


def step_drop(lr, drop, every):
  """lr drop^floor((1 + epoch) / every): the first drop is an epoch early.

  Args:
    lr: first rate.
    drop: factor, > 0.
    every: epochs between drops, int >= 1.

  Returns:
    A `Recipe`.

  Raises:
    ValueError: if an argument breaks its rule.
  """
  checks.integer("every", every, 1)

  def make(steps, epochs):
    del epochs
    dropped = kernels.StepDecay(lr * drop, drop, every * steps)
    if every == 1:
      return dropped
    parts = [kernels.Constant(lr), dropped]
    return kernels.Join(parts, [(every - 1) * steps])

  kernels.StepDecay(lr, drop, 1)
  return Recipe(f"step_drop({lr!r}, {drop!r}, {every!r})", make)


def function(fn, initial_lr=None):
  """A function of the epoch, or of (epoch, lr); see `kernels.from_function`.

  Args:
    fn: asked once an epoch of the fit, before its first update.
    initial_lr: lr of the first call, for a function of (epoch, lr).

  Returns:
    A `Recipe`.

  Raises:
    ValueError: if an argument breaks its rule.
  """
  interop.check_function(fn)

  def make(steps, epochs):
    return kernels.from_function(fn, epochs, steps, initial_lr)

  name = getattr(fn, "__name__", type(fn).__name__)
  return Recipe(f"function({name})", make)
