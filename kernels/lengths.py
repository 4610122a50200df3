"""Length, warmup and cycles that a schedule takes from another one."""


class LengthOfSchedule:
  """Length, warmup and cycles of a schedule that are those of its `schedule`.

  In front of `Schedule` among the bases of a class with such a field.
  """

  @property
  def total_steps(self):
    """The schedule's own."""
    return self.schedule.total_steps

  @property
  def overrun(self):
    """Whether a run may be longer: what the schedule says."""
    return self.schedule.overrun

  @property
  def warmup_end(self):
    """The schedule's own."""
    return self.schedule.warmup_end

  def cycle_starts(self, steps):
    """The schedule's own."""
    return self.schedule.cycle_starts(steps)
