"""What is timed of Keras: its `fit`.

A process that times it alone imports no trainloop: that would count as its own.
"""

import itertools
import time

import keras
import tensorflow as tf

LOSS = "sparse_categorical_crossentropy"
RATE, MOMENTUM = 0.01, 0.9


def optimizer():
  """The optimizer of all runners."""
  return keras.optimizers.SGD(RATE, momentum=MOMENTUM)


def pipeline(task):
  """The usual `tf.data.Dataset` of an epoch: shuffled, batched, prefetched."""
  whole = tf.data.Dataset.from_tensor_slices((task.x, task.y))
  batches = whole.shuffle(len(task.y), seed=0).batch(
    task.batch_size, drop_remainder=True
  )
  return batches.prefetch(tf.data.AUTOTUNE)


class _RateByHand(keras.callbacks.Callback):
  """Sets the learning rate before each update, as schedules on the host do."""

  def on_train_begin(self, logs=None):
    del logs
    self._step = 0

  def on_train_batch_begin(self, batch, logs=None):
    del batch, logs
    self.model.optimizer.learning_rate = RATE / (1.0 + 1e-6 * self._step)
    self._step += 1


def compiled(task, **options):
  """The task's model, compiled by Keras."""
  model = task.make()
  model.compile(optimizer(), loss=LOSS, metrics=["accuracy"], **options)
  return model


def engine_of(model):
  """What compiles the steps of Keras' fit: "xla" or "graph"."""
  return "xla" if model.jit_compile else "graph"


class Fit:
  """Keras' `fit`, quiet, over the task's own arrays, shuffled.

  Args:
    task: a `Task`.
    callback: whether a callback sets the learning rate.
    data: a `tf.data.Dataset` in place of the arrays, or None.
    validation: (x, y, batch size) or None.
    every: epochs of the shortest run, and from one validation to the next.
    model: a compiled keras.Model; None for one with Keras' defaults.
    note: what a table says of it.
  """

  def __init__(
    self,
    task,
    callback=False,
    data=None,
    validation=None,
    every=1,
    model=None,
    note="",
  ):
    self.note = note
    if model is None:
      keras.utils.set_random_seed(0)
      model = compiled(task)
    self._model, self._steps, self.unit = model, task.steps, every * task.steps
    self._options = {"verbose": 0}
    if callback:
      self._options["callbacks"] = [_RateByHand()]
    if data is None:
      arrays = {"x": task.x, "y": task.y, "batch_size": task.batch_size}
      self._options |= {**arrays, "shuffle": True}
    else:
      self._options["x"] = data
    if validation is not None:
      x, y, size = validation
      extra = {"validation_batch_size": size, "validation_freq": every}
      self._options |= {"validation_data": (x, y), **extra}
    self.engine = engine_of(model)

  def run(self, updates):
    """One fit."""
    self._model.fit(epochs=updates // self._steps, **self._options)


def fastest_fit(task, **options):
  """A `Fit` with those settings out of four that a short trial finds best.

  Args:
    task: a `Task`.
    **options: of the `Fit`.
  """
  timed = []
  for steps, jit in itertools.product((1, 100), (False, True)):
    keras.utils.set_random_seed(0)
    model = compiled(task, steps_per_execution=steps, jit_compile=jit)
    note = f"steps_per_execution={steps}, jit_compile={jit}"
    fit = Fit(task, model=model, note=note, **options)
    short = Fit(_trial(task), model=model, **options)
    short.run(short.unit)
    began = time.perf_counter()
    short.run(short.unit)
    timed.append((time.perf_counter() - began, fit))
  return min(timed, key=lambda pair: pair[0])[1]


def _trial(task):
  return task.first(8 if task.x.ndim == 4 else 200)
