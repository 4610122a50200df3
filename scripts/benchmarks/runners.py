"""What is timed: this loop, a bare hand-written one, and Keras' fit."""

import itertools
import time

import keras
import numpy as np
import tensorflow as tf

import kernels
import trainloop

LOSS = "sparse_categorical_crossentropy"
RATE, MOMENTUM = 0.01, 0.9
# As long as any fit here: each begins at its step 0.
_SCHEDULE = kernels.OneCycle(0.05, total_steps=10**7)


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


class Loop:
  """This loop, everything on: OneCycle with momentum, accuracy, guard, rows.

  Args:
    task: a `Task`.
    compile: see `TrainLoop`.
    data: what to fit; None for an `ArrayData` of the task.
    validation: an `ArrayData` or None.
    every: epochs of the shortest run.
    **options: of the `TrainLoop`.
  """

  def __init__(
    self,
    task,
    compile="auto",
    data=None,
    validation=None,
    every=1,
    **options,
  ):
    keras.utils.set_random_seed(0)
    self._data = array_data(task) if data is None else data
    self._validation, self._steps = validation, task.steps
    self.unit = every * task.steps
    self._loop = trainloop.TrainLoop(
      task.make(),
      optimizer(),
      LOSS,
      metrics=["accuracy"],
      compile=compile,
      verbose=False,
      **options,
    )

  @property
  def engine(self):
    """The name of the engine that was chosen."""
    return self._loop.engine.name

  @property
  def row_bytes(self):
    """Bytes of the last fit's rows in memory."""
    rows = self._loop.history.rows
    return sum(v.nbytes for k, v in rows.items() if k != "step")

  @property
  def reason(self):
    """Why it was chosen."""
    return self._loop.engine.reason

  def run(self, updates):
    """One fit."""
    self._loop.fit(
      self._data,
      updates // self._steps,
      validation=self._validation,
      schedule=_SCHEDULE,
    )


class Evaluate:
  """Passes of `TrainLoop.evaluate`, or of Keras' own, over some data."""

  unit = 1

  def __init__(self, task, batch_size, ours):
    keras.utils.set_random_seed(0)
    if ours:
      data = array_data(task, batch_size=batch_size)
      loop = trainloop.TrainLoop(
        task.make(), optimizer(), LOSS, metrics=["accuracy"], verbose=False
      )
      self._call = lambda: loop.evaluate(data)
      self._engine = lambda: loop.engine.name
    else:
      model = compiled(task)
      self._engine = lambda: engine_of(model)
      self._call = lambda: model.evaluate(
        task.x, task.y, batch_size=batch_size, verbose=0
      )

  @property
  def engine(self):
    """The name of the engine."""
    return self._engine()

  def run(self, passes):
    """So many passes."""
    for _ in range(passes):
      self._call()


def array_data(task, **options):
  """The task's data as this loop takes it."""
  options = {"batch_size": task.batch_size, **options}
  return trainloop.ArrayData(task.x, task.y, **options)


class Bare:
  """The floor: a compiled loop written by hand for this one model.

  The rate is constant, the data resident, the order given; there are no
  metrics, rows or guards.

  Args:
    task: a `Task`.
    jit: whether XLA compiles the whole loop.
  """

  unit = 1

  def __init__(self, task, jit):
    keras.utils.set_random_seed(0)
    self.engine = "xla" if jit else "graph"
    self._order = tf.constant(task.order(task.many))
    model, opt = task.make(), optimizer()
    variables = model.trainable_variables
    opt.build(variables)
    loss = keras.losses.SparseCategoricalCrossentropy()

    def update(i, x, y, order, last):
      del last
      with tf.GradientTape() as tape:
        y_pred = model(tf.gather(x, order[i]), training=True)
        value = loss(tf.gather(y, order[i]), y_pred)
      slope = tape.gradient(value, variables)
      opt.apply([tf.convert_to_tensor(g) for g in slope], variables)
      return i + 1, x, y, order, value

    def updates(n, *data):
      start = (tf.constant(0), *data, tf.constant(0.0))
      return tf.while_loop(
        lambda i, *_: i < n, update, start, parallel_iterations=1
      )[-1]

    self._updates = tf.function(updates, autograph=False, jit_compile=jit)
    self._data = tf.constant(task.x), tf.constant(task.y), self._order

  def run(self, updates):
    """So many updates, in as few calls as there may be."""
    while updates:
      n = min(updates, len(self._order))
      last = self._updates(tf.constant(n), *self._data)
      updates -= n
    last.numpy()


class Dataset:
  """The usual dataset of a task, read in TensorFlow and thrown away."""

  engine = ""

  def __init__(self, task):
    self._data, self.unit = pipeline(task), task.steps

  def run(self, updates):
    """So many batches, in whole epochs."""
    for _ in range(updates // self.unit):
      self._data.reduce(np.int64(0), lambda count, *_: count + 1).numpy()


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
