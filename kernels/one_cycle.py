"""The 1cycle policy: one rise, one fall, momentum opposite."""

import dataclasses
import math

import tensorflow as tf

from kernels import base, checks, curves, cycles
from kernels.steps import Steps

_ANNEALS = ("cosine", "linear")
_PHASE_ENDS = ("last_step", "total", "whole", "halves")
_PRESETS = {
  "torch": {},
  "fastai": {
    "warmup_fraction": 0.25,
    "final_div": 4000.0,
    "phase_ends": "total",
  },
  "ktrain": {
    "warmup_fraction": 0.5,
    "initial_div": 10.0,
    "final_div": 100.0,
    "anneal": "linear",
    "phase_ends": "halves",
  },
  "optax": {"phase_ends": "whole", "momentum": None},
}


@dataclasses.dataclass(frozen=True)
class OneCycle(base.Schedule):
  """1cycle: initial -> peak -> final, momentum high -> low -> high.

  initial = peak / initial_div and final = initial / final_div. The phases end
  at t = fraction x total - 1 and t = total - 1, so the last update uses
  `final`, exactly; with three_phase at f T - 1, 2 f T - 2 and T - 1, the rate
  going initial -> peak -> initial -> final and momentum staying high in the
  third. A phase of no length is skipped. Later steps hold `final`, but a run
  longer than total_steps is refused.

  Args:
    peak_lr: highest rate, finite, >= 0.
    total_steps: updates of the whole policy, int >= 1.
    warmup_fraction: share of the steps that rise, in [0, 1] (three_phase:
      in [0, 0.5]).
    initial_div: peak / initial, > 0.
    final_div: initial / final, > 0.
    anneal: "cosine" or "linear".
    three_phase: whether the fall back to initial is a phase of its own.
    momentum: (at low lr, at high lr) or None.
    phase_ends: "last_step" as above; "total": f T and T; "whole": int(f T)
      and T; "halves": ceil(T/2) and 2 ceil(T/2).

  Raises:
    ValueError: if a field breaks its rule.

  Smith & Topin 2018, "Super-Convergence"; Smith 2018, "A disciplined approach
  to neural network hyper-parameters".

  >>> rates, momenta = kernels.OneCycle(0.1, 100)([0, 29, 99])
  >>> rates.numpy()
  array([4.e-03, 1.e-01, 4.e-07], dtype=float32)
  >>> momenta.numpy()
  array([0.95, 0.85, 0.95], dtype=float32)
  """

  peak_lr: float
  total_steps: int
  warmup_fraction: float = 0.3
  initial_div: float = 25.0
  final_div: float = 1e4
  anneal: str = "cosine"
  three_phase: bool = False
  momentum: tuple | None = (0.95, 0.85)
  phase_ends: str = "last_step"

  overrun = False

  def __post_init__(self):
    name = "warmup_fraction"
    share = checks.fraction(name, self.warmup_fraction)
    if not isinstance(self.three_phase, bool):
      checks.fail("three_phase", self.three_phase, "True or False")
    if self.three_phase and share > 0.5:
      checks.fail(name, share, "a number in [0, 0.5] with three_phase")
    ends = checks.choice("phase_ends", self.phase_ends, _PHASE_ENDS)
    if self.three_phase and ends != "last_step":
      checks.fail("phase_ends", ends, "'last_step' with three_phase")
    self.set_fields(
      peak_lr=checks.rate("peak_lr", self.peak_lr),
      total_steps=checks.integer("total_steps", self.total_steps, 1),
      warmup_fraction=share,
      initial_div=checks.positive("initial_div", self.initial_div),
      final_div=checks.positive("final_div", self.final_div),
      anneal=checks.choice("anneal", self.anneal, _ANNEALS),
      momentum=checks.momentum_pair("momentum", self.momentum),
    )
    for name, value in (
      ("initial_div", self.peak_lr / self.initial_div),
      ("final_div", self.peak_lr / self.initial_div / self.final_div),
    ):
      if not value < 3e38:
        rule = f"large enough for a rate that is finite, not {value}"
        checks.fail(name, getattr(self, name), rule)

  @classmethod
  def preset(cls, name, peak_lr, total_steps):
    """1cycle as another library does it, to the step.

    Args:
      name: "torch" (the defaults), "fastai", "ktrain" or "optax".
      peak_lr: highest rate, finite, >= 0.
      total_steps: updates of the whole policy, int >= 1.

    Returns:
      A `OneCycle`.

    Raises:
      ValueError: if the name is unknown or an argument breaks its rule.

    >>> schedule = kernels.OneCycle.preset("ktrain", 0.1, 100)
    >>> schedule([0, 50, 99]).learning_rate.numpy()
    array([0.01    , 0.1     , 0.002098], dtype=float32)
    """
    checks.choice("preset", name, tuple(_PRESETS))
    return cls(peak_lr, total_steps, **_PRESETS[name])

  @property
  def warmup_end(self):
    """The step at which the rise to the peak is over."""
    return max(0, math.ceil(self._ends()[0]))

  def _ends(self):
    """The phases' last points on the step axis, as exact fractions."""
    total, share = self.total_steps, cycles.exact(self.warmup_fraction)
    if self.phase_ends == "total":
      return [share * total, total]
    if self.phase_ends == "whole":
      return [math.floor(share * total), total]
    if self.phase_ends == "halves":
      half = math.ceil(total / 2)
      return [half, 2 * half]
    if self.three_phase:
      return [share * total - 1, 2 * share * total - 2, total - 1]
    return [share * total - 1, total - 1]

  def _phases(self):
    """[(start, end, lr at start and end, momentum at start and end)]."""
    initial = self.peak_lr / self.initial_div
    rates = [initial, self.peak_lr, initial / self.final_div]
    low, high = self.momentum or (0.0, 0.0)
    momenta = [low, high, low]
    if self.three_phase:
      rates.insert(2, initial)
      momenta.append(low)
    ends = [0, *self._ends()]
    phases = zip(
      ends, ends[1:], rates, rates[1:], momenta, momenta[1:], strict=False
    )
    # A first phase that would end before step 0 leaves its peak behind it.
    kept = [phase for phase in phases if phase[1] > max(phase[0], 0)]
    # Held for ever: `compute` keeps t at its start, so its end is never reached
    # and only has to differ from its start in float64.
    last = (ends[-1], 2 * ends[-1] + 1, rates[-1], rates[-1], low, low)
    return [tuple(map(float, phase)) for phase in (*kept, last)]

  def compute(self, step):
    *phases, last = self._phases()
    t = tf.minimum(tf.cast(step, tf.float64), last[0])
    columns = list(last)
    for phase in reversed(phases):
      inside = t < phase[1]
      columns = [
        tf.where(inside, tf.constant(mine, tf.float64), other)
        for mine, other in zip(phase, columns, strict=True)
      ]
    start, end, lr_start, lr_end, momentum_start, momentum_end = columns
    done, left = (t - start) / (end - start), (end - t) / (end - start)
    curve = curves.CURVES[self.anneal]
    momentum = None
    if self.momentum is not None:
      momentum = curve(momentum_start, momentum_end, done, left)
    return curve(lr_start, lr_end, done, left), momentum

  def corners(self, steps):
    ends = {math.ceil(end) for end in self._ends()}
    return [Steps(sorted(end for end in ends if 0 < end < steps))]
