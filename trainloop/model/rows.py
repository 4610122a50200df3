"""A row: what one update used, and what came of it; the order of its columns.

Rows are float32 tables of shape (updates, columns), on the device, in the
history, in the row journal and in event files alike. Update i of a table that
begins at global step s is update s + i. The first columns are those of `Row`;
behind them stand the further hyperparameters of a run, if it has any.
"""

import dataclasses
import typing


class Row(typing.NamedTuple):
  """One update.

  Attributes:
    learning_rate: as used, > 0 or 0.
    momentum: as used, in [0, 1); NaN where the optimizer has none.
    loss: of the global batch, before the update.
    grad_norm: L2 norm of the gradients, >= 0.
    skipped: 1 where the update was refused as not finite, else 0.
  """

  learning_rate: typing.Any
  momentum: typing.Any
  loss: typing.Any
  grad_norm: typing.Any
  skipped: typing.Any


COLUMNS = Row._fields
LEARNING_RATE, MOMENTUM, LOSS, GRAD_NORM, SKIPPED = range(len(COLUMNS))


@dataclasses.dataclass(frozen=True)
class Layout:
  """The columns of a run's rows.

  Attributes:
    further: names of those behind the ones of `Row`.
  """

  further: tuple = ()

  @property
  def names(self):
    """Names of all columns, in order."""
    return (*COLUMNS, *self.further)

  @property
  def width(self):
    """How many columns there are."""
    return len(COLUMNS) + len(self.further)


def row_of(values):
  """The `Row` that a row's first columns are; float32 (columns,)."""
  return Row(*values[: len(COLUMNS)])
