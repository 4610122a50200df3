"""What several workers decide alike between two windows."""


class Consensus:
  """Whether to stop or to save again, the same on all workers.

  A stop signal may reach one worker only, a full disk concerns the chief only,
  and clocks differ. So after each window the workers exchange these facts by a
  collective, and all act on the result until the next one. A single worker
  needs no exchange.

  Args:
    workers: the run's `Workers`.
    stop_requested: function that says whether this worker was asked to stop.
    records: what says whether this worker owes a save.
  """

  def __init__(self, workers, stop_requested, records):
    self._workers = workers
    self._stop_requested, self._records = stop_requested, records
    self._stop = self._owes = False

  def settle(self, seconds):
    """Exchanges stop requests and failed saves between the workers.

    Every worker calls it after each window, on the thread that waits for it.

    Args:
      seconds: how long the window took on this worker.

    Returns:
      How long it took on the chief: from it all workers compute the same
      length of the next windows.
    """
    if self._workers.count == 1:
      return seconds
    owes = self._workers.is_chief and self._records.owes_save
    table = self._workers.gather([seconds, self._stop_requested(), owes])
    self._stop, self._owes = table[:, 1:].any(axis=0)
    return float(table[0, 0])

  @property
  def stop_requested(self):
    """Whether to leave the run now."""
    return self._stop_requested() if self._workers.count == 1 else self._stop

  @property
  def owes_save(self):
    """Whether a failed save is to be tried again now."""
    if self._workers.count == 1:
      return self._records.owes_save
    return self._owes
