"""What is timed: this loop, and a bare hand-written one."""

import keras
import numpy as np
import tensorflow as tf

import kernels
import trainloop
from benchmarks.keras_runners import (
  LOSS,
  compiled,
  engine_of,
  optimizer,
  pipeline,
)

# As long as any fit here: each begins at its step 0.
_SCHEDULE = kernels.OneCycle(0.05, total_steps=10**7)


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
