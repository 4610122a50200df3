"""How many updates go into the next window."""

import numbers

from kernels import checks

# Long enough that a call's overhead vanishes, short enough for a live line.
_TARGET_SECONDS = 0.1
_FIRST, _MOST, _GROWTH = 16, 4096, 4


class Pace:
  """The window's length: fixed, or chosen so that a window takes about 0.1 s.

  Args:
    steps_per_loop: int >= 1, or "auto".

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
    self.steps = _FIRST if self._auto else steps_per_loop
    self.most = _MOST if self._auto else steps_per_loop
    self._warm = False

  def record(self, steps, seconds):
    """Notes that a window of `steps` updates took `seconds`."""
    if not self._auto:
      return
    if not self._warm:  # the first window's time is its compilation
      self._warm = True
      return
    wanted = int(steps * _TARGET_SECONDS / max(seconds, 1e-6))
    self.steps = max(1, min(wanted, _GROWTH * self.steps, _MOST))
