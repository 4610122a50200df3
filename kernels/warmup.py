"""Schedules that rise first: WarmupCosine."""

import dataclasses

import tensorflow as tf

from kernels import base, checks, curves, cycles


@dataclasses.dataclass(frozen=True)
class WarmupCosine(base.Schedule):
  """A line up to the peak, a hold, then a cosine down to `final_lr`.

  Step 0 has initial_lr, step warmup_steps the peak, and the peak is kept for
  hold_steps; total_steps (which includes both) and all later steps have
  final_lr, with final + (peak - final)/2 (1 + cos(pi x)) on the way.

  Args:
    peak_lr: highest rate, finite, >= 0.
    warmup_steps: steps from initial_lr to the peak, int >= 0.
    total_steps: step at which final_lr is reached, int >= 1.
    hold_steps: steps at the peak, int >= 0.
    initial_lr: rate of step 0 where there is a warmup.
    final_lr: rate at total_steps and after.
    momentum: (at low lr, at high lr), mirroring warmup and decay, or None.

  Raises:
    ValueError: if a field breaks its rule, or warmup and hold exceed the
      total.

  Goyal et al. 2017 (warmup), Loshchilov & Hutter 2017 (cosine).
  """

  peak_lr: float
  warmup_steps: int
  total_steps: int
  hold_steps: int = 0
  initial_lr: float = 0.0
  final_lr: float = 0.0
  momentum: tuple | None = None

  def __post_init__(self):
    total = checks.integer("total_steps", self.total_steps, 1)
    warmup = checks.integer("warmup_steps", self.warmup_steps, 0, total)
    self.set_fields(
      peak_lr=checks.rate("peak_lr", self.peak_lr),
      warmup_steps=warmup,
      total_steps=total,
      hold_steps=checks.integer(
        "hold_steps", self.hold_steps, 0, total - warmup
      ),
      initial_lr=checks.rate("initial_lr", self.initial_lr),
      final_lr=checks.rate("final_lr", self.final_lr),
      momentum=checks.momentum_pair("momentum", self.momentum),
    )

  def compute(self, step):
    rises = step < self.warmup_steps
    up = cycles.fractions_of(step, self.warmup_steps)
    top = self.warmup_steps + self.hold_steps
    # A decay of 0 steps still jumps to final_lr at total_steps, not before.
    down = cycles.fractions_of(step - top, max(1, self.total_steps - top))

    def both(low_start, high, low_end):
      return tf.where(
        rises,
        curves.linear(low_start, high, *up),
        curves.cosine(high, low_end, *down),
      )

    momentum = None
    if self.momentum is not None:
      low, high = self.momentum
      momentum = both(low, high, low)
    return both(self.initial_lr, self.peak_lr, self.final_lr), momentum
