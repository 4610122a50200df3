"""How fast a fit goes, as series of wall-clock values."""

import time

STEPS = "speed/steps_per_second"
EXAMPLES = "speed/examples_per_second"
WINDOW = "speed/window_ms"
TAGS = (STEPS, EXAMPLES, WINDOW)
# A point a second at most: short windows and epochs must not pay for it.
_SECONDS = 1.0


class Speed:
  """Adds up windows, and gives their speed about once a second.

  The first window, which compiles, counts only if there is no other.

  Args:
    examples: mean examples of an update, or None if that is not known.
    clock: gives seconds; injected in tests.
  """

  def __init__(self, examples=None, clock=time.perf_counter):
    self._examples, self._clock = examples, clock
    self._since = clock()
    self._warm = self._has_point = False
    self._forget()

  def _forget(self):
    self._steps = self._windows = 0
    self._seconds = 0.0

  def window(self, steps, seconds):
    """Counts a window of some updates that took some seconds.

    Returns:
      {tag: value} where a point is due, or None.
    """
    now = self._clock()
    if self._windows and not self._warm:
      # The second window is here: what came before was compilation.
      self._forget()
      self._since, self._warm = now - seconds, True
    self._steps += steps
    self._windows += 1
    self._seconds += seconds
    if not self._warm or now - self._since < _SECONDS:
      return None
    return self._point(now)

  def rest(self):
    """The speed of a fit that was too short for any point; None otherwise.

    After other points the stretch at the end is short, and says little.
    """
    if not self._windows or self._has_point:
      return None
    return self._point(self._clock())

  def _point(self, now):
    """The speed since the last point, validations and saves included; the
    mean time of a window is its own."""
    each = self._steps / max(now - self._since, 1e-9)
    point = {STEPS: each}
    if self._examples is not None:
      point[EXAMPLES] = each * self._examples
    point[WINDOW] = 1e3 * self._seconds / self._windows
    self._forget()
    self._since, self._has_point = now, True
    return point


def examples_of(source):
  """Mean examples of an update of a data source, or None."""
  batch, count = source.batch_size, source.num_examples
  if batch is None or count is None:
    return batch
  return min(batch, count / source.steps_per_epoch)
