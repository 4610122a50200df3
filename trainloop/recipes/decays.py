"""Recipes that fall: as a curve, in steps, or as a function says."""

import kernels
from kernels import checks, interop
from trainloop.base import durations
from trainloop.recipes.recipe import Recipe

_PER = ("update", "epoch")


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
