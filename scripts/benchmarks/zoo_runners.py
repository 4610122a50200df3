"""What the zoo times: this loop, and Keras' fit as it is and at its best.

trainloop is imported where this loop is made: a process of `fit` has no part
in it.
"""

import time

import keras
import tensorflow as tf

_RATE, _COSINE_STEPS = 1e-3, 100_000
KINDS = ("loop", "fit", "fit_epoch", "fit_jit")


class Report:
  """When a fit was first heard of.

  Attributes:
    time: wall time of it, or None.
    updates: done by then.
  """

  def __init__(self):
    self.time, self.updates = None, 0

  def hear(self, updates):
    """Notes the first call."""
    if self.time is None:
      self.time, self.updates = time.time(), updates


class Loop:
  """This loop, everything on, `compile="auto"`.

  Args:
    task: a `zoo_models.Task`.
    hears: whether its windows are reported to `report`.
  """

  note = ""

  def __init__(self, task, hears=False):
    import kernels
    import trainloop

    keras.utils.set_random_seed(0)
    self.report, self.unit = Report(), task.steps
    schedule = kernels.Constant(_RATE)
    if task.cosine:
      schedule = kernels.Cosine(_RATE, _COSINE_STEPS)
    on_window = None
    if hears:
      on_window = lambda values: self.report.hear(values["step"])  # noqa: E731
    self._data = trainloop.ArrayData(
      task.x, task.y, batch_size=task.batch_size, seed=0
    )
    self._loop = trainloop.TrainLoop(
      task.make(),
      keras.optimizers.Adam(),
      task.loss,
      metrics=task.metrics,
      schedule=schedule,
      on_window=on_window,
      verbose=False,
    )

  @property
  def engine(self):
    """The engine that was chosen; "" before the first run."""
    return self._loop.engine.name if self._loop.engine else ""

  def run(self, updates):
    """One fit of whole epochs."""
    self._loop.fit(self._data, updates // self.unit)


class _Hearing(keras.callbacks.Callback):
  """Tells a `Report` of the calls that `fit` ends."""

  def __init__(self, report):
    super().__init__()
    self._report = report

  def on_train_batch_end(self, batch, logs=None):
    del logs
    self._report.hear(batch + 1)


class Fit:
  """Keras' `fit`, quiet, over the arrays, shuffled.

  Args:
    task: a `zoo_models.Task`.
    hears: whether its calls are reported to `report`.
    **options: of `compile`.
  """

  note = ""

  def __init__(self, task, hears=False, **options):
    keras.utils.set_random_seed(0)
    self.report, self.unit = Report(), task.steps
    rate = _RATE
    if task.cosine:
      rate = keras.optimizers.schedules.CosineDecay(_RATE, _COSINE_STEPS)
    self._model = task.make()
    self._model.compile(
      keras.optimizers.Adam(rate), task.loss, metrics=task.metrics, **options
    )
    self._options = {
      "x": task.x,
      "y": task.y,
      "batch_size": task.batch_size,
      "verbose": 0,
      "callbacks": [_Hearing(self.report)] if hears else [],
    }
    self.engine = "xla" if self._model.jit_compile else "graph"

  def run(self, updates):
    """One fit of whole epochs.

    Raises:
      ValueError: if XLA can't run the model.
    """
    try:
      self._model.fit(epochs=updates // self.unit, **self._options)
    except tf.errors.OpError as error:
      raise ValueError(str(error).strip()) from error


def make(kind, task, hears=False):
  """A runner.

  Args:
    kind: one of `KINDS`.
    task: a `zoo_models.Task`.
    hears: whether its `report` is kept.
  """
  if kind == "loop":
    return Loop(task, hears)
  options = {
    "fit": {},
    "fit_epoch": {"steps_per_execution": task.steps},
    "fit_jit": {"jit_compile": True},
  }
  return Fit(task, hears, **options[kind])
