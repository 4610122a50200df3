"""Where the windows of one fit must end."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class FitPlan:
  """The steps of one fit: pure arithmetic on the one clock.

  Attributes:
    start: global step at which the fit begins.
    first_epoch: epochs of the run begun before this fit.
    schedule_start: global step at which its schedule is at its own step 0.
    epochs: epochs of this fit.
    steps_per_epoch: updates of an epoch.
    validate_steps: updates between two validations.
    checkpoint_steps: updates between two checkpoints.
  """

  start: int
  first_epoch: int
  schedule_start: int
  epochs: int
  steps_per_epoch: int
  validate_steps: int
  checkpoint_steps: int

  @property
  def end(self):
    """Global step at which the fit is complete."""
    return self.start + self.epochs * self.steps_per_epoch

  def position(self, step):
    """(epoch of the run, step in that epoch), both from 0."""
    epoch, inside = divmod(step - self.start, self.steps_per_epoch)
    return self.first_epoch + epoch, inside

  def ends_epoch(self, step):
    """Whether `step` updates complete an epoch."""
    return (step - self.start) % self.steps_per_epoch == 0

  def validates(self, step):
    """Whether a validation is due after `step` updates."""
    return (step - self.start) % self.validate_steps == 0

  def saves(self, step):
    """Whether a checkpoint is due after `step` updates."""
    return (step - self.start) % self.checkpoint_steps == 0

  def until_event(self, step):
    """Updates from `step` to the next epoch end, validation or checkpoint."""
    done = step - self.start
    cycles = (
      self.steps_per_epoch,
      self.validate_steps,
      self.checkpoint_steps,
    )
    return min(cycle - done % cycle for cycle in cycles)
