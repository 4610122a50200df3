"""The records of a run without a workdir: what all records answer to."""

import time

from kernels import checks
from trainloop.workdir.fit_entry import FitEntry
from trainloop.workdir.history import History


class NoRecords:
  """Remembers nothing: every fit is new, and nothing is written.

  Args:
    layout: the `Layout` of the run's rows.

  Attributes:
    layout: the same.
  """

  resumed_from = ()
  seconds = 0.0
  goes_on = False
  workdir = None
  owes_save = False
  position = b""  # where the data is, for the next checkpoint

  def __init__(self, layout):
    self.layout = layout

  def keep_position(self, position):
    """Has the next checkpoint hold where the data is, bytes."""
    self.position = position

  def resume(self, terms):
    """Restores what the workdir holds, if it knows the fit that comes.

    Args:
      terms: the fit's `Terms`.

    Returns:
      The fit's `FitEntry`; None if it is new, and nothing was restored.
    """
    del terms

  def start_fit(self, origin, terms):
    """A new fit's `FitEntry`, of its `Origin` and `Terms`."""
    history = History(origin.start, self.layout)
    return FitEntry(terms, origin, history.to_config())

  def history(self, entry, plan, step):
    """The fit's history up to global step `step`."""
    del plan, step
    return History.from_config(entry.history, self.layout, done=entry.finished)

  def restore_epoch(self, epoch, variables):
    """Puts back variables from the checkpoint at an epoch's end."""
    del variables
    checks.fail("epoch", epoch, "of a loop with a workdir, which keeps them")

  def begin(self, plan, step, curve, history, panel):
    """Before the first update.

    Args:
      plan: the `FitPlan`.
      step: global step at which it begins or goes on.
      curve: gives the planned `Outline` over global steps, from a step on.
      history: the fit's `History`.
      panel: the fit's `Panel`.
    """
    self._clock = time.monotonic()

  def rows(self, began, first_step, rows):
    """A window's rows; see `EventWriter.rows`."""

  def scalars(self, run, step, values):
    """Metrics at a step; see `EventWriter.scalars`."""

  def event(self, step, kind, text):
    """Something that happened at a step, in words."""

  def histograms(self, step, tables):
    """Histograms at a step; see `Notes`."""

  def save(self, step, history):
    """Commits a checkpoint, in the background."""

  def leave(self, step, history):
    """Commits a checkpoint before the fit is left; it can go on later."""
    self.seconds += time.monotonic() - self._clock

  def finish(self, step, history):
    """Commits the end of the fit."""
    self.seconds += time.monotonic() - self._clock

  def close(self, failed=False):
    """After a fit; `failed` if it ended otherwise than by finish or leave."""
