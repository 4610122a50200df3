"""What another fit of a loop that has trained costs before it returns."""

import itertools
import time

import keras

import kernels
import trainloop
from benchmarks.measure import add_ratios, summary
from benchmarks.runners import LOSS, array_data

_STEPS, _RATES = 2, 100
# The most milliseconds of a fit with another schedule, by model; and those of
# other epochs and of a sweep over what is known.
_FLOORS = {"mlp_64_64_10": 150, "transformer_6": 300}
_EPOCHS_FLOOR, _SWEEP_FLOOR = 50, 300


class _Trained:
  """A loop that has fitted a constant rate, and other fits of it.

  Args:
    task: a `Task`.
  """

  def __init__(self, task):
    keras.utils.set_random_seed(0)
    self._data = array_data(task.first(_STEPS))
    self._long = array_data(task.first(_RATES))
    self._known, self._made = kernels.Constant(0.01), itertools.count(1)
    self._epochs = 1
    self.loop = trainloop.TrainLoop(
      task.make(), keras.optimizers.Adam(), LOSS, verbose=False
    )
    for data in (self._data, self._long):
      self._fit(self._known, 1, data)
      self._fit(self._known, 1, data)

  def _fit(self, schedule, epochs, data):
    self.loop.fit(data, epochs, schedule=schedule)

  def known(self):
    """A fit as it was before: two updates."""
    self._fit(self._known, 1, self._data)

  def schedule(self):
    """The same under a schedule of a class or shape that is new."""
    i = next(self._made)
    classes = (
      lambda: kernels.Cosine(0.01, 100 + i),
      lambda: kernels.Exponential(0.01, 100 + i, 0.5),
      lambda: kernels.WarmupStableDecay(0.01, 5 + i, 20, 5),
      lambda: kernels.PiecewiseConstant([5 + i], [0.01, 0.001]),
    )
    self._fit(classes[i % len(classes)](), 1, self._data)

  def epochs(self):
    """The known schedule for more epochs than ever before."""
    self._epochs += 1
    self.epochs_again()

  def epochs_again(self):
    """As many as the last time."""
    self._fit(self._known, self._epochs, self._data)

  def updates(self):
    """A fit of a hundred updates."""
    self._fit(self._known, 1, self._long)

  def sweep(self):
    """A sweep of a hundred rates on the same data."""
    options = {"steps": _RATES, "divergence": None, "max_lr": 1e-3}
    trainloop.sweep_learning_rate(self.loop, self._long, **options)


def refit(task, options):
  """Fits of one loop in turns, in milliseconds a call.

  Args:
    task: a `Task`.
    options: an `Options`.

  Returns:
    A list of tables.
  """
  trained = _Trained(task)
  kinds = {
    "the fit before again": trained.known,
    "another schedule": trained.schedule,
    "other epochs": trained.epochs,
    "these epochs again": trained.epochs_again,
    "100 updates": trained.updates,
    "a sweep of 100 rates": trained.sweep,
  }
  for run in kinds.values():
    run()
  times = {kind: [] for kind in kinds}
  for _ in range(options.repeats):
    for kind, run in kinds.items():
      began = time.perf_counter()
      run()
      times[kind].append(1e3 * (time.perf_counter() - began))
  engine = trained.loop.engine.name
  rows = add_ratios(
    [
      {"runner": kind, "engine": engine, **summary(calls)}
      for kind, calls in times.items()
    ]
  )
  return [
    {
      "mode": "refit",
      "model": f"{task.name}, batch {task.batch_size}",
      "unit": f"ms a call; a fit of an epoch has {_STEPS} updates",
      "reference": rows[0]["runner"],
      "rows": rows,
      "cases": _cases(task.name, rows),
    }
  ]


def _cases(name, rows):
  _, schedule, epochs, again, updates, sweep = (row["median"] for row in rows)
  limits = [
    ("another schedule", schedule, _FLOORS.get(name)),
    ("other epochs, over these again", epochs - again, _EPOCHS_FLOOR),
    ("the sweep, over 100 updates", sweep - updates, _SWEEP_FLOOR),
  ]
  return [
    {
      "case": text,
      "ms": round(value, 1),
      "floor": f"<= {limit:g}",
      "reached": "yes" if value <= limit else "no",
    }
    for text, value, limit in limits
    if limit is not None
  ]
