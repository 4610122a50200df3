"""The learning-rate range sweep: a loop's own updates under a rising rate.

Afterwards everything is as before, bit for bit, whatever ended the sweep.
"""

import dataclasses
import functools
import numbers

import numpy as np

import kernels
from kernels import checks, combined
from trainloop.base import durations
from trainloop.compiled.rehearsal import Rehearsal
from trainloop.compiled.table import columns_of
from trainloop.data import batch_errors
from trainloop.data import source as data_lib
from trainloop.devices import entry
from trainloop.display import notebook
from trainloop.model import exclusive_calls
from trainloop.model import rows as row_lib
from trainloop.model.snapshot import Snapshot
from trainloop.model.trainee import Trainee
from trainloop.sweep import report, suggestions
from trainloop.sweep.divergence import Criterion, DivergenceCheck

_ON = ("train", "validation")
# Updates of a window: behind the one that diverged the rest are for nothing,
# and Ctrl-C is heard between two.
_MOST = 32


@dataclasses.dataclass(frozen=True, eq=False)
class Sweep:
  """What a range sweep saw, one entry an update in each array.

  A notebook shows its picture, or without matplotlib what it suggests.

  Attributes:
    name: what was swept.
    learning_rates: float32, those the updates used.
    losses: float32, of the training batch before the update, or of a
      validation batch after it; a loss that is not finite is left out.
    steps: updates that were asked for.
    diverged: whether it ended before them.
    smoothing: beta of `smoothed`.
  """

  name: str
  learning_rates: np.ndarray
  losses: np.ndarray
  steps: int
  diverged: bool
  smoothing: float

  @functools.cached_property
  def smoothed(self):
    """Exponential moving average of the losses, bias corrected, float64."""
    return suggestions.ema(self.losses, self.smoothing)

  @functools.cached_property
  def changes(self):
    """Loss change a step, a moving average over 20 steps, float64."""
    return suggestions.changes(self.losses)

  @property
  def suggestions(self):
    """{"valley", "slide", "steep", "minimum"}: float, as fastai defines them
    on `smoothed`; NaN where there are too few updates for one."""
    rates, steps = self.learning_rates, self.steps
    return suggestions.suggest(rates, self.smoothed, steps)

  @property
  def lr_range(self):
    """(low, high) for a cyclical schedule, by a centred moving average of 20;
    NaN where the loss never falls. See `suggestions.automatic_range`."""
    return suggestions.automatic_range(self.learning_rates, self.losses)

  @property
  def best_lr(self):
    """The rate at which the loss falls fastest, by `changes`; or NaN."""
    return suggestions.fastest(self.learning_rates, self.losses)

  def __repr__(self):
    done = f"{len(self.losses)} of {self.steps} updates"
    fall = {"fastest fall": self.best_lr}
    low, high = self.lr_range
    return notebook.text(
      f"Sweep {self.name}",
      f"{done}, diverged" if self.diverged else done,
      notebook.numbers({**self.suggestions, **fall}),
      f"range {low:.3g} to {high:.3g}",
    )

  def _repr_png_(self):
    if not len(self.losses):
      return None
    return notebook.png(lambda: report.figure_of({self.name: self}))

  def plot(self, path):
    """Draws losses and their change over the learning rate.

    Args:
      path: PNG file to write; needs matplotlib.

    Raises:
      OSError: if it can't be written.
    """
    report.save_png(path, {self.name: self})

  def save(self, folder):
    """Writes sweep.png, sweep.csv and a TensorBoard run.

    Args:
      folder: where to; made if it is not there.

    Raises:
      OSError: if it can't be written.
    """
    report.save(folder, {self.name: self})


@entry.guarded
def sweep_learning_rate(
  loop,
  data,
  *,
  min_lr=1e-7,
  max_lr=10.0,
  steps=100,
  spacing="exponential",
  on="train",
  validation=None,
  smoothing=0.98,
  divergence=4.0,
  steps_per_epoch=None,
  name="sweep",
):
  """Trains a loop's model for a while under a rising learning rate.

  The updates are those of `loop.fit`, with momentum as the optimizer has it
  before its first update, and further hyperparameters from their kernels'
  first step on. Weights, slots, counters, BatchNormalization, random
  numbers and the place in the data are put back, also after an exception or
  Ctrl-C. What stays: a `tf.data.Dataset` that reshuffles in each pass has been
  read by the sweep, so its next pass has another order.

  Args:
    loop: a `TrainLoop`.
    data: as in `TrainLoop.fit`, read from the start of its first epoch.
    min_lr, max_lr: first and last rate, 0 < min_lr < max_lr.
    steps: updates, int >= 2, or a duration in epochs or steps as "1ep".
    spacing: "exponential" or "linear".
    on: "train": the training loss of each update; "validation": the loss of a
      validation batch after each, as in Smith's range test.
    validation: for on="validation", an `ArrayData`; its batches take turns.
    smoothing: beta of the smoothed losses, in [0, 1).
    divergence: the sweep ends at a loss above this factor, > 1, times the
      least smoothed loss; None ends it only where a loss is not finite.
    steps_per_epoch: batches of an epoch, for a dataset without end.
    name: what to call it in tables, pictures and TensorBoard.

  Returns:
    A `Sweep`.

  Raises:
    ValueError: if an argument breaks its rule; nothing was trained then.

  Smith 2017, "Cyclical Learning Rates for Training Neural Networks", 3.3.
  """
  if not isinstance(getattr(loop, "trainee", None), Trainee):
    checks.fail("loop", type(loop).__name__, "a TrainLoop")
  source = data_lib.adapt("data", data, steps_per_epoch).again()
  per_epoch = source.steps_per_epoch
  if not isinstance(steps, numbers.Integral):
    steps = durations.to_steps("steps", steps, per_epoch, per_epoch, 2)
  steps = checks.integer("steps", steps, 1, durations.MOST_UPDATES)
  schedule = kernels.RangeSweep(min_lr, max_lr, steps, spacing)
  rule = "a number in [0, 1)"
  checks.number("smoothing", smoothing, rule, lambda v: 0 <= v < 1)
  if divergence is not None:
    rule = "a finite number > 1, or None"
    checks.number("divergence", divergence, rule, lambda v: v > 1)
  validation = _validation(on, validation)
  criterion = Criterion(smoothing, divergence, validation)
  rows, ended = _sweep(loop, source, schedule, criterion)
  rows = rows[np.isfinite(rows[:, row_lib.LOSS])]
  rates, losses = rows[:, row_lib.LEARNING_RATE], rows[:, row_lib.LOSS]
  return Sweep(name, rates, losses, steps, ended, smoothing)


@exclusive_calls.one("sweep_learning_rate")
def _sweep(loop, source, schedule, criterion):
  """What `_run` gives, with all put back.

  Args:
    loop: a `TrainLoop`.
    source: the data source of training.
    schedule: a `kernels.RangeSweep`.
    criterion: a `Criterion`.
  """
  trainee, programs = loop.trainee, loop.programs
  programs.admit(source, criterion.validation)
  # For the schedule to come, whose momentum may need slots; and its columns,
  # so that the sweep's program is that of the fits.
  coming = loop.coming_schedule(source)
  trainee.prepare(coming)
  if criterion.validation is not None:
    programs.place(criterion.validation)
  schedule = combined.beside(schedule, combined.others_of(coming))
  factors = trainee.binding.groups.factors
  table = programs.table(schedule, columns_of(coming, factors))
  programs.compile(table, source)
  snapshot = Snapshot(trainee.moved())
  before = snapshot.take()
  try:
    trainee.state.begin_sweep()
    rehearsal = Rehearsal(
      trainee.strategy,
      programs,
      source,
      table,
      schedule.total_steps,
      _MOST if criterion.validation is None else 1,
    )
    check = DivergenceCheck(criterion, trainee.options.numerics.scales_loss)
    judged = functools.partial(_judged, trainee, programs, criterion.validation)
    with batch_errors.named(trainee.intake, data=source):
      return _run(rehearsal, schedule.total_steps, check, judged)
  finally:
    snapshot.put_back(before)


def _run(rehearsal, total, check, judged):
  """(rows float32 (n, columns), whether it ended early)."""
  blocks, done, ended = [], 0, False
  while done < total and not ended:
    result = rehearsal.run(done, total - done)
    rows = result.rows.numpy()[: int(result.done)]
    blocks.append(check.up_to(judged(rows, done)))
    done = done + len(rows)
    ended = bool(result.halted) or check.diverged
  return np.concatenate(blocks), ended


def _judged(trainee, programs, validation, rows, done):
  """The rows of a window after `done` updates, with the losses that count.

  Those of the validation are of one batch, after a window of one update.
  """
  if validation is None or not len(rows):
    return rows
  batches = validation.batch(done).evaluation(trainee.strategy)
  watched = trainee.intake.watched(validation)
  loss = programs.evaluation(batches, watched).values["loss"].numpy()
  (row,) = rows
  row = row.copy()
  row[row_lib.LOSS] = loss
  return row[np.newaxis]


def compare_learning_rates(loops, data, **options):
  """Sweeps several loops, which may differ in optimizer or model.

  Args:
    loops: {name: TrainLoop}.
    data: as in `sweep_learning_rate`.
    **options: its other arguments, the same for all.

  Returns:
    {name: Sweep}; `report.save` writes them into one picture.

  Raises:
    ValueError: if an argument breaks its rule.
  """
  if not isinstance(loops, dict) or not loops:
    checks.fail("loops", loops, "a dict of at least one TrainLoop by name")
  return {
    name: sweep_learning_rate(loop, data, name=name, **options)
    for name, loop in loops.items()
  }


def _validation(on, validation):
  """The checked validation data, or None."""
  checks.choice("on", on, _ON)
  if on == "train":
    if validation is not None:
      checks.fail("validation", type(validation).__name__, "None on='train'")
    return None
  if not isinstance(validation, data_lib.ArrayData):
    kind = type(validation).__name__
    checks.fail("validation", kind, "an ArrayData with on='validation'")
  return validation
