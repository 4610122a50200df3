"""The schedule of a learning-rate range sweep."""

import dataclasses

from kernels import base, checks, curves, cycles
from kernels.steps import Steps

_SPACINGS = ("exponential", "linear")


@dataclasses.dataclass(frozen=True)
class RangeSweep(base.Schedule):
  """A rise from min_lr at step 0 to max_lr at step total_steps - 1, exactly.

  exponential: min (max/min)^(t / (total - 1)); linear: a straight line.

  Args:
    min_lr: first rate, finite, > 0.
    max_lr: last rate, finite, > min_lr.
    total_steps: updates of the sweep, int >= 2.
    spacing: "exponential" or "linear".

  Raises:
    ValueError: if a field breaks its rule.

  Smith 2017, "Cyclical Learning Rates for Training Neural Networks", 3.3.

  >>> kernels.RangeSweep(1e-3, 1.0, 4)([0, 1, 2, 3]).learning_rate.numpy()
  array([0.001, 0.01 , 0.1  , 1.   ], dtype=float32)
  """

  min_lr: float
  max_lr: float
  total_steps: int
  spacing: str = "exponential"

  overrun = False

  def __post_init__(self):
    low = checks.positive("min_lr", self.min_lr)
    self.set_fields(
      min_lr=low,
      max_lr=checks.number(
        "max_lr",
        checks.rate("max_lr", self.max_lr),
        f"a finite number > min_lr = {low!r}",
        lambda v: v > low,
      ),
      total_steps=checks.integer("total_steps", self.total_steps, 2),
      spacing=checks.choice("spacing", self.spacing, _SPACINGS),
    )

  def compute(self, step):
    done, left = cycles.fractions_of(step, self.total_steps - 1)
    curve = curves.CURVES[self.spacing]
    return curve(self.min_lr, self.max_lr, done, left), None

  def corners(self, steps):
    return [Steps([self.total_steps - 1]).within(1, steps)]
