"""Whether a sweep has diverged: read from its losses, on the host."""

import typing

import numpy as np

from trainloop.model import rows as row_lib


class Criterion(typing.NamedTuple):
  """What a sweep has diverged by.

  Attributes:
    smoothing: beta of the exponential moving average, in [0, 1).
    divergence: factor > 1, or None for non-finite losses only.
    validation: an `ArrayData` whose batches, in turn, are evaluated after
      each update for the loss that counts; None for the training loss.
  """

  smoothing: float
  divergence: float | None
  validation: typing.Any = None


class DivergenceCheck:
  """Ends a sweep at the first loss that is not finite, or above `divergence`
  times the least smoothed loss so far.

  Losses are those of the global batch, so all workers stop at the same update.

  Args:
    criterion: the `Criterion`.
    scales_loss: whether an update may be refused because a loss scale was too
      large, which is no divergence.
  """

  def __init__(self, criterion, scales_loss=False):
    self._beta, self._factor = criterion.smoothing, criterion.divergence
    self._scales_loss = scales_loss
    self._mean, self._weight, self._least = 0.0, 0.0, np.inf
    self.diverged = False

  def up_to(self, rows):
    """The rows up to the one that diverged, and with it; all if none did.

    One that was refused is left out: its update was not made.

    Args:
      rows: float32 (n, columns) of the updates that came next.
    """
    for i, row in enumerate(rows):
      if row[row_lib.SKIPPED] and not self._scales_loss:
        self.diverged = True
        return rows[:i]
      if self._ends(float(row[row_lib.LOSS])):
        self.diverged = True
        return rows[: i + 1]
    return rows

  def _ends(self, loss):
    """Whether a loss is the last one, for the smoothed losses to come."""
    self._mean = self._beta * self._mean + (1 - self._beta) * loss
    self._weight = self._beta * self._weight + (1 - self._beta)
    self._least = min(self._least, self._mean / self._weight)
    if not np.isfinite(loss) or self._factor is None:
      return not np.isfinite(loss)
    # Written so that a loss below 0 has a bound above it, too.
    return loss > self._least + (self._factor - 1) * abs(self._least)
