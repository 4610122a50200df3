"""Wall time that never goes back."""

import time


class WallClock:
  """The machine's clock, but behind no time that was given out already.

  Where it was set back, by hand or between two processes of a run, times go on
  from the latest one.

  Args:
    latest: the latest time that was given out before, in seconds.

  Attributes:
    latest: the same, by now.
  """

  def __init__(self, latest=0.0):
    self.latest, self._ahead = latest, 0.0

  def now(self):
    """Seconds since 1970."""
    self._ahead += max(0.0, self.latest - time.time() - self._ahead)
    self.latest = max(self.latest, time.time() + self._ahead)
    return self.latest

  def since(self, began):
    """(began, now) as this clock has them: a stretch that goes on from the
    latest time.

    Args:
      began: the start by the machine's clock.
    """
    latest, now = self.latest, self.now()
    return min(max(began + self._ahead, latest), now), now
