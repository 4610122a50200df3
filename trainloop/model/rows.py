"""A row: what one update used, and what came of it; the order of its columns.

Rows are float32 tables of shape (updates, `WIDTH`), on the device, in the
history, in the row journal and in event files alike. Update i of a table that
begins at global step s is update s + i.
"""

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
WIDTH = len(COLUMNS)
LEARNING_RATE, MOMENTUM, LOSS, GRAD_NORM, SKIPPED = range(WIDTH)
