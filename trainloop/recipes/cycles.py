"""Recipes of cycles: 1cycle, cosine restarts, triangles until it gets no
better."""

import kernels
from kernels import checks
from trainloop.judging.options import EarlyStopping, ReduceOnPlateau
from trainloop.recipes.recipe import Recipe

_MOMENTUM = (0.95, 0.85)
_PLENTY = 1024  # epochs of an autofit that early stopping is to end


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
