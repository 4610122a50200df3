"""Trial updates outside of a fit, as of a sweep; their caller undoes them."""

from trainloop.compiled.window import Limits


class Rehearsal:
  """Windows of a trainee from the start of some data.

  Args:
    strategy: the trainee's `tf.distribute.Strategy`.
    programs: its `Programs`, prepared for a schedule.
    source: a data source that nothing else reads.
    most: most updates of a window, int >= 1.

  Attributes:
    most: the same, or fewer where the data ask for it.
    window: the `Window`; None before `begin`.
  """

  def __init__(self, strategy, programs, source, most):
    self._strategy, self._programs = strategy, programs
    self._source, self.window = source, None
    programs.place(source)
    self.most = min(most, source.steps_per_epoch, source.most_steps)

  def begin(self, schedule, updates, skips=False, watch=None):
    """Goes to the start of the data, and makes the window.

    Args:
      schedule: the `kernels.Schedule` that the updates follow.
      updates: how many there may be, int >= 1.
      skips: see `Update`;  watch: see `Window`.
    """
    source, limits = self._source, Limits((), self.most, 0)
    source.stage(self.most)
    source.begin(0, epochs=-(-updates // source.steps_per_epoch))
    self.window = self._programs.new_window(
      schedule, limits, source, skips, watch
    )

  def length(self, done, most):
    """How many updates, at most `most`, the window after `done` ones has."""
    size = self._source.steps_per_epoch
    inside = done % size
    return min(most, self.most, size - inside, self._source.cut(inside))

  def batches(self, done, n):
    """The batches of the n updates after `done` ones."""
    epoch, inside = divmod(done, self._source.steps_per_epoch)
    return self._source.training(self._strategy, epoch, inside, n)
