"""Which updates and metrics of a fit TensorBoard gets, and their size."""

import typing

import numpy as np

from kernels import checks
from trainloop.workdir.tensorboard import event_file, row_encoding

# "auto": rows of a fit, and epochs and validations of one that has more.
MOST = 1_000_000
_MOST_METRICS = 100_000
_FRAME = 16  # bytes around a record in a file


class Logged(typing.NamedTuple):
  """How many rows, epochs and validations there are to each one written.

  With log_every="auto" all are 1 in a fit of up to `MOST` updates.

  Attributes:
    rows: a row is written if its step is a multiple of this, or if an epoch
      ends with it whose metrics are written.
    epochs, validations: their metrics are written after each so many.
  """

  rows: int
  epochs: int = 1
  validations: int = 1

  def epoch(self, plan, done):
    """Whether metrics of the epoch are written after `done` updates."""
    return _due(plan, done, plan.steps_per_epoch, self.epochs)

  def validation(self, plan, done):
    """Whether those of a validation are."""
    return _due(plan, done, plan.validate_steps, self.validations)

  def size(self, plan, layout):
    """The most bytes that the rows of a fit take in its event files.

    Args:
      plan: its `FitPlan`.
      layout: the `Layout` of its rows.
    """
    times, steps = np.zeros(1), np.array([plan.end])
    tags = event_file.tags(layout)
    row = np.zeros((1, len(tags)), np.float32)
    (event,) = row_encoding.encode(times, steps, tags, row)
    count = (plan.end - plan.start) // self.rows + plan.epochs // self.epochs
    return (count + 2) * (len(event) + _FRAME)


def check(log_every):
  """The argument `log_every`: "auto" or an int >= 1, or raises."""
  if not isinstance(log_every, str):
    return checks.integer("log_every", log_every, 1)
  if log_every != "auto":
    checks.fail("log_every", log_every, "'auto' or an integer >= 1")
  return log_every


def of(log_every, plan):
  """The `Logged` of a fit: a function of its length, so a resume has the same.

  Args:
    log_every: what `check` gave.
    plan: the `FitPlan`.
  """
  if log_every != "auto":
    return Logged(log_every)
  steps = plan.end - plan.start
  if steps <= MOST:
    return Logged(1)
  validations = steps // plan.validate_steps
  return Logged(
    rows=-(-steps // MOST),
    epochs=max(1, -(-plan.epochs // _MOST_METRICS)),
    validations=max(1, -(-validations // _MOST_METRICS)),
  )


def _due(plan, done, unit, every):
  """Whether what comes every `unit` updates is written after `done` of them:
  each `every`-th time, at the fit's end, and at any step between."""
  count, between = divmod(done - plan.start, unit)
  return bool(between) or count % every == 0 or done == plan.end
