"""How many updates go into the next window."""

import numbers

from kernels import checks
from trainloop.compiled.window import Limits

# Long enough that a call's overhead vanishes, short enough for a live line.
_TARGET_SECONDS = 0.1
_FIRST, _MOST, _GROWTH = 16, 4096, 4
_MOST_ENDS = 64  # of epochs in a window: each keeps a copy of the metrics


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


def limits(lengths, most, validates, saves, crosses):
  """The `Limits` of a fit's windows.

  Args:
    lengths: the fit's `Lengths`.
    most: most updates of a window by `steps_per_loop` and the data.
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
  wake_every = wake_every or [lengths.updates]
  apart = any(size % cycle == 0 for cycle in wake_every)
  ends = 0 if apart else min(_MOST_ENDS, (updates + size - 2) // size)
  return Limits(tuple(wake_every), updates, ends)
