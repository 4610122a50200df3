"""Trial updates outside of a fit, as of a sweep; their caller undoes them."""


class Rehearsal:
  """Windows of a trainee from the start of some data: those of its fits.

  Args:
    strategy: the trainee's `tf.distribute.Strategy`.
    programs: its `Programs`, prepared for a schedule.
    source: a data source that nothing else reads.
    table: the `Table` of the schedule that the updates follow.
    updates: how many there may be, int >= 1.
    most: most of them in a window, int >= 1.

  Attributes:
    window: the `Window`.
  """

  def __init__(self, strategy, programs, source, table, updates, most):
    self._strategy, self._source, self._table = strategy, source, table
    capacity, size = programs.capacity(source), source.steps_per_epoch
    self._most = min(most, capacity.updates, size)
    source.stage(self._most, capacity.updates)
    source.begin(0, epochs=-(-updates // size))
    self.window = programs.window(table.columns, source)

  def run(self, done, most):
    """The `Result` of a window.

    Args:
      done: updates before it.
      most: how many it may have, int >= 1; an epoch's end ends it, too.
    """
    epoch, inside = divmod(done, self._source.steps_per_epoch)
    left = self._source.steps_per_epoch - inside
    n = min(most, self._most, left, self._source.cut(inside))
    batches = self._source.training(self._strategy, epoch, inside, n)
    result = self.window(self._table, batches)
    self.window.check(result, done)
    return result
