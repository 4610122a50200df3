"""What follows an update that is not finite."""

import dataclasses

from kernels import checks

CHOICES = ("raise", "skip", "rewind")


@dataclasses.dataclass(frozen=True)
class Rewind:
  """Goes back to the last checkpoint, with smaller learning rates.

  After the n-th time the schedule's rates are multiplied by factor^n until the
  fit ends. The count is in the checkpoint, so a restart does not renew it.

  Args:
    factor: multiplier of the learning rates at each rewind, in (0, 1].
    limit: how often, int >= 1; then `NonFiniteError` is raised.

  Raises:
    ValueError: if a field breaks its rule.
  """

  factor: float = 0.5
  limit: int = 3

  def __post_init__(self):
    half_open = "a number in (0, 1]"
    checks.number("factor", self.factor, half_open, lambda v: 0 < v <= 1)
    checks.integer("limit", self.limit, 1)


def resolve(on_nonfinite, workdir):
  """`on_nonfinite` as one of "raise", "skip" and a `Rewind`.

  Args:
    on_nonfinite: one of `CHOICES`, or a `Rewind`.
    workdir: the run's folder or None.

  Raises:
    ValueError: if it is neither, or there are no checkpoints to go back to.
  """
  guard = on_nonfinite
  if not isinstance(guard, Rewind):
    checks.choice("on_nonfinite", guard, CHOICES)
    guard = Rewind() if guard == "rewind" else guard
  if isinstance(guard, Rewind) and workdir is None:
    rule = "given, because `on_nonfinite` goes back to its checkpoints"
    checks.fail("workdir", None, rule)
  return guard
