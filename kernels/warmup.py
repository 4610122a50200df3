"""Schedules that rise first: WarmupCosine, WarmupStableDecay."""

import dataclasses

import tensorflow as tf

from kernels import base, checks, curves, cycles
from kernels.steps import Steps


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

  >>> schedule = kernels.WarmupCosine(0.1, 10, 110)
  >>> schedule([0, 5, 10, 60, 110]).learning_rate.numpy()
  array([0.  , 0.05, 0.1 , 0.05, 0.  ], dtype=float32)
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

  @property
  def warmup_end(self):
    """The step that has the peak."""
    return self.warmup_steps

  def compute(self, step):
    rises = step < self.warmup_steps
    up = cycles.fractions_of(step, self.warmup_steps)
    # A decay of 0 steps still falls to final_lr at total_steps, not before.
    top = min(self.warmup_steps + self.hold_steps, self.total_steps - 1)
    rises = rises & (step < self.total_steps)
    down = cycles.fractions_of(step - top, self.total_steps - top)

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

  def corners(self, steps):
    warmup, total = self.warmup_steps, self.total_steps
    top = min(warmup + self.hold_steps, total - 1)
    return [Steps(sorted({warmup, top, total})).within(1, steps)]


@dataclasses.dataclass(frozen=True)
class WarmupStableDecay(base.Schedule):
  """WSD: a line up to the peak, the peak for long, a short decay.

  Step 0 has initial_lr and step warmup_steps the peak, which is kept for
  stable_steps; with x the fraction of decay_steps after that, the rate is
  final + (peak - final) d, where d is 1 - x ("linear"),
  (1 + cos(pi x))/2 ("cosine") or 1 - sqrt(x) ("sqrt"). final_lr is reached at
  total_steps = warmup_steps + stable_steps + decay_steps, and held. With more
  cycles (WSD-S) that step is the first of the next one, whose others begin at
  the peak: stable_steps + decay_steps each, without a warmup.

  Args:
    peak_lr: highest rate, finite, >= 0.
    warmup_steps: steps from initial_lr to the peak, int >= 0.
    stable_steps: steps at the peak, int >= 0.
    decay_steps: steps from the peak to final_lr, int >= 1.
    initial_lr: rate of step 0 where there is a warmup, finite, >= 0.
    final_lr: rate at total_steps and after, finite, >= 0.
    decay: "linear", "cosine" or "sqrt".
    cycles: how many, int >= 1; None for no end.

  Raises:
    ValueError: if a field breaks its rule.

  Hu et al. 2024, "MiniCPM"; Haegele et al. 2024, "Scaling Laws and
  Compute-Optimal Training Beyond Fixed Training Durations" (sqrt); Wen et al.
  2024, "Understanding Warmup-Stable-Decay Learning Rates" (cycles).

  >>> schedule = kernels.WarmupStableDecay(0.1, 10, 80, 10)
  >>> schedule([5, 10, 90, 95, 100]).learning_rate.numpy()
  array([0.05, 0.1 , 0.1 , 0.05, 0.  ], dtype=float32)
  >>> again = kernels.WarmupStableDecay(0.1, 10, 80, 10, cycles=2)
  >>> again([95, 100, 101, 185, 190]).learning_rate.numpy()
  array([0.05, 0.  , 0.1 , 0.05, 0.  ], dtype=float32)
  """

  peak_lr: float
  warmup_steps: int
  stable_steps: int
  decay_steps: int
  initial_lr: float = 0.0
  final_lr: float = 0.0
  decay: str = "linear"
  cycles: int | None = 1

  def __post_init__(self):
    count = self.cycles
    self.set_fields(
      cycles=None if count is None else checks.integer("cycles", count, 1),
      peak_lr=checks.rate("peak_lr", self.peak_lr),
      warmup_steps=checks.integer("warmup_steps", self.warmup_steps, 0),
      stable_steps=checks.integer("stable_steps", self.stable_steps, 0),
      decay_steps=checks.integer("decay_steps", self.decay_steps, 1),
      initial_lr=checks.rate("initial_lr", self.initial_lr),
      final_lr=checks.rate("final_lr", self.final_lr),
      decay=checks.choice("decay", self.decay, tuple(curves.DECAYS)),
    )

  @property
  def total_steps(self):
    """Steps of warmup, stable parts and decays; None for no end."""
    if self.cycles is None:
      return None
    return self.warmup_steps + self.cycles * self._cycle

  @property
  def _cycle(self):
    """Steps of a cycle behind the warmup."""
    return self.stable_steps + self.decay_steps

  @property
  def warmup_end(self):
    """The step that has the peak."""
    return self.warmup_steps

  def compute(self, step):
    up = cycles.fractions_of(step, self.warmup_steps)
    position = self._position(step - self.warmup_steps) - self.stable_steps
    down = cycles.fractions_of(position, self.decay_steps)
    rate = tf.where(
      step < self.warmup_steps,
      curves.linear(self.initial_lr, self.peak_lr, *up),
      curves.DECAYS[self.decay](self.peak_lr, self.final_lr, *down),
    )
    return rate, None

  def _position(self, past):
    """The step of a cycle, its last one the first of the next: int64."""
    if self.cycles == 1:
      return past
    cycle = tf.constant(self._cycle, tf.int64)
    # The step behind an end is at the peak again.
    position = tf.where(past > 0, (past - 1) % cycle + 1, past)
    if self.cycles is None or self.total_steps > cycles.LAST_STEP:
      return position
    end = self.total_steps - self.warmup_steps
    return tf.where(past >= end, cycle, position)

  def cycle_starts(self, steps):
    first = self.warmup_steps + self._cycle
    end = steps if self.cycles is None else min(steps, self.total_steps)
    return Steps(range(first, end, self._cycle))

  def corners(self, steps):
    warmup, total = self.warmup_steps, self.total_steps
    top = warmup + self.stable_steps
    if self.cycles == 1:
      return [Steps(sorted({warmup, top, total})).within(1, steps)]
    end = steps if total is None else min(steps, total)
    starts, ends = self.cycle_starts(steps), [] if total is None else [total]
    return [
      Steps([warmup]).within(1, steps),
      Steps(range(top, end, self._cycle)).within(1, steps),
      starts,
      Steps(range(warmup + 1, end, self._cycle)).within(warmup + 2, steps),
      Steps(ends).within(1, steps),
    ]
