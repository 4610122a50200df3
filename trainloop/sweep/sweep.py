"""The learning-rate range sweep: a loop's own updates under a rising rate.

Afterwards everything is as before, bit for bit, whatever ended the sweep.
"""

import dataclasses
import functools
import numbers

import numpy as np

import kernels
from kernels import checks
from trainloop.base import durations
from trainloop.data import source as data_lib
from trainloop.devices import entry
from trainloop.loop import TrainLoop
from trainloop.model import turns
from trainloop.model.rows import LEARNING_RATE, LOSS
from trainloop.model.snapshot import Snapshot
from trainloop.sweep import report, suggestions
from trainloop.workdir.fit_plan import Limits

_ON = ("train", "validation")
_MOST = 256  # updates of a window: Ctrl-C is heard between two


@dataclasses.dataclass(frozen=True, eq=False)
class Sweep:
  """What a range sweep saw, one entry an update in each array.

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
  before its first update. Weights, slots, counters, BatchNormalization, random
  numbers and the place in the data are put back, also after an exception or
  Ctrl-C. Only a dataset that shuffles itself anew in each pass has made one.

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
  if not isinstance(loop, TrainLoop):
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
  watched = smoothing, divergence, validation
  rows, ended = _sweep(loop, source, schedule, watched)
  rows = rows[np.isfinite(rows[:, LOSS])]
  rates, losses = rows[:, LEARNING_RATE], rows[:, LOSS]
  return Sweep(name, rates, losses, steps, ended, smoothing)


@turns.one("sweep_learning_rate")
def _sweep(loop, source, schedule, watched):
  """What `_run` gives, with all put back.

  Args:
    loop, source: see `_prepare`.
    schedule: a `kernels.RangeSweep`.
    watched: (smoothing, divergence, validation), as of `Watch`.
  """
  validation = watched[-1]
  parts = _prepare(loop, source, validation)
  most = _most(parts, source, validation, schedule.total_steps)
  watch = parts.watch(*watched, most)
  snapshot = Snapshot(parts.moved())
  before = snapshot.take()
  try:
    return _run(parts, schedule, source, watch, most)
  finally:
    snapshot.put_back(before)


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


def _prepare(loop, source, validation):
  """The loop's parts, built as the coming fit will build them."""
  parts = loop.parts
  parts.check_batches(source)
  parts.build(source)
  parts.engines.choose(source)
  parts.check("data", source)
  if validation is not None:
    parts.check("validation", validation, evaluates=True)
  # With the schedule to come, whose momentum may need slots.
  parts.prepare(loop.coming_schedule(source))
  return parts


def _most(parts, source, validation, steps):
  """Most updates of a window."""
  parts.place(source)
  most = min(_MOST, steps, source.steps_per_epoch, source.most_steps)
  return (
    most
    if validation is None
    else min(most, parts.memory.steps(validation.batch_bytes))
  )


def _run(parts, schedule, source, watch, most):
  """(rows float32 (n, columns), whether it ended early)."""
  state, total = parts.state, schedule.total_steps
  state.average.go_on()
  state.schedule_start.assign(state.global_step)
  state.judge.scale.assign(1.0)
  state.rate_scale.assign(1.0)
  source.stage(most)
  source.begin(0, epochs=-(-total // source.steps_per_epoch))
  window = parts.new_window(schedule, Limits((), most, 0), source, False, watch)
  blocks, done, ended = [], 0, False
  while done < total and not ended:
    epoch, inside = divmod(done, source.steps_per_epoch)
    left = source.steps_per_epoch - inside
    n = min(most, left, total - done, source.cut(inside))
    batches = source.training(parts.strategy, epoch, inside, n)
    watch.stage(done)
    found = window(batches)
    window.check(found, done)
    blocks.append(found.rows.numpy()[: int(found.done)])
    done, ended = done + len(blocks[-1]), bool(found.halted)
  return np.concatenate(blocks), ended
