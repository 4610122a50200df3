"""How many updates go into the next window."""

import dataclasses
import numbers

from kernels import checks

# Long enough that a call's overhead vanishes, short enough for a live line.
_TARGET_SECONDS = 0.1
_FIRST, _MOST, _GROWTH = 16, 4096, 4


class WindowLength:
  """The length of windows: fixed, or such that one takes about 0.1 s.

  Args:
    steps_per_loop: int >= 1, or "auto".

  Attributes:
    updates: of the next window, at most.
    most: of any window.

  Raises:
    ValueError: if it is neither.
  """

  def __init__(self, steps_per_loop):
    self._auto = steps_per_loop == "auto"
    if not self._auto:
      if not isinstance(steps_per_loop, numbers.Integral):
        rule = "'auto' or an integer >= 1"
        checks.fail("steps_per_loop", steps_per_loop, rule)
      steps_per_loop = checks.integer("steps_per_loop", steps_per_loop, 1)
    self.updates = _FIRST if self._auto else steps_per_loop
    self.most = _MOST if self._auto else steps_per_loop
    self._warm = False

  def record(self, updates, seconds):
    """Reckons with a window of some updates that took some seconds."""
    if not self._auto:
      return
    if not self._warm:  # the first window's time is its compilation
      self._warm = True
      return
    target = int(updates * _TARGET_SECONDS / max(seconds, 1e-6))
    self.updates = max(1, min(target, _GROWTH * self.updates, _MOST))


@dataclasses.dataclass(frozen=True)
class Limits:
  """How large the windows of one fit may get.

  Attributes:
    wake_every: periods in updates; a window ends at each multiple.
    updates: most updates of a window.
  """

  wake_every: tuple
  updates: int


def limits(lengths, most, validates, saves, crosses):
  """The `Limits` of a fit's windows.

  Args:
    lengths: the fit's `Lengths`.
    most: most updates that the compiled window has room for.
    validates: whether the fit has validations, evaluated or judged.
    saves: whether it has checkpoints.
    crosses: whether the data lets a window cross an epoch's end.
  """
  size, histograms = lengths.steps_per_epoch, lengths.histograms_steps
  wake_every = [
    *([histograms] if histograms else []),
    *([lengths.validate_steps] if validates else []),
    *([lengths.checkpoint_steps] if saves else []),
    *([] if crosses else [size]),
  ]
  updates = min([most, *wake_every])
  return Limits(tuple(wake_every or [lengths.updates]), updates)
