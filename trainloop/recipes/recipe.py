"""A schedule in epochs, and what else belongs to it."""

import dataclasses
import typing

from kernels import checks
from trainloop.judging.options import EarlyStopping, ReduceOnPlateau


@dataclasses.dataclass(frozen=True)
class Recipe:
  """A schedule in epochs, and what else belongs to it.

  A `fit` without `epochs` takes the recipe's epochs, early stopping and
  plateau, too; a `fit` with `epochs` takes the schedule and `trainable` alone.

  Attributes:
    text: the call that made it, for messages.
    make: function of (steps_per_epoch, epochs) that gives the kernel.
    epochs: epochs that it is for, or None for those of the fit.
    early_stopping: an `EarlyStopping` it brings, or None.
    reduce_on_plateau: a `ReduceOnPlateau` it brings, or None.
    trainable: regular expression of what is trained, for a fit that names
      nothing itself; None for all.
  """

  text: str
  make: typing.Callable = dataclasses.field(repr=False)
  epochs: int | None = None
  early_stopping: EarlyStopping | None = None
  reduce_on_plateau: ReduceOnPlateau | None = None
  trainable: str | None = None

  def schedule_for(self, steps_per_epoch, epochs=None):
    """The recipe's kernel.

    Args:
      steps_per_epoch: updates of an epoch, int >= 1.
      epochs: epochs of the fit, int >= 1; None for the recipe's own.

    Returns:
      A `kernels.Schedule`.

    Raises:
      ValueError: if there is no number of epochs, or it does not fit.
    """
    steps = checks.integer("steps_per_epoch", steps_per_epoch, 1)
    return self.make(steps, self.epochs_of(epochs))

  def epochs_of(self, epochs=None):
    """The epochs of a fit that asks for `epochs`, or None: the recipe's."""
    if epochs is None:
      epochs = self.epochs
    if epochs is None:
      checks.fail("epochs", None, f"given, because {self.text} brings none")
    return checks.integer("epochs", epochs, 1)
