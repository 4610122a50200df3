"""What a deleted loop leaves in the process: nothing of its own."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.framework import ops

import kernels
import trainloop
from support import small
from trainloop.base import custom_gradients


@tf.custom_gradient
def doubled(x):
  """x, with a gradient twice as large."""
  return tf.identity(x), lambda slope: 2.0 * slope


def own_step(model, x, y, training):
  found = doubled(model(x, training=training))
  return keras.losses.sparse_categorical_crossentropy(y, found)


def silu():
  """Layers whose gradients are custom ones, in TensorFlow and by hand."""
  layers = [keras.layers.Dense(4, activation="silu")]
  layers += [keras.layers.Lambda(doubled), keras.layers.Dense(3, "softmax")]
  return keras.Sequential([keras.layers.Input((8,)), *layers])


def dataset(examples=96):
  data = tf.data.Dataset.from_tensor_slices(small.arrays(examples))
  return data.batch(8, drop_remainder=True)


def everything(engine):
  """A function: workdir -> a loop that has done what loops do."""

  def run(workdir):
    loop = small.loop(
      silu,
      lambda: keras.optimizers.Adam(use_ema=True),
      compile=engine,
      workdir=str(workdir),
      schedule=kernels.OneCycle(0.01, 24),
      early_stopping=trainloop.EarlyStopping("val_loss", patience=1),
      reduce_on_plateau=trainloop.ReduceOnPlateau("val_loss", patience=1),
      callbacks=[keras.callbacks.CSVLogger(workdir / "log.csv")],
      on_epoch=lambda values: values,
      histograms_every="1ep" if engine == "graph" else None,
    )
    train = dataset()
    trainloop.sweep_learning_rate(loop, train, steps=4)
    loop.fit(train, 2, validation=small.data(32, 16))
    return loop

  return run


def in_parts(workdir):
  """A loop with a step of its own, in micro-batches and float16."""
  loop = small.loop(
    silu,
    loss=None,
    metrics=None,
    step=own_step,
    compile="graph",
    accumulate=2,
    mixed_precision="float16",
  )
  loop.fit(small.data(), 1)
  return loop


def ended(workdir):
  """A loop whose fit an error ended, which somebody caught."""
  loop = small.loop(silu, lambda: keras.optimizers.SGD(1e38), compile="graph")
  try:
    loop.fit(small.data(), 1)
  except trainloop.NonFiniteError:
    return loop
  raise AssertionError("it must end")


def replicated(strategy):
  def run(workdir):
    optimizer = keras.optimizers.SGD
    loop = small.loop(silu, optimizer, strategy=strategy)
    loop.fit(small.data(), 1, validation=small.data(32, 16))
    return loop

  return run


def held(loop):
  """Weak references to what a loop is made of."""
  found = {"loop": loop, "model": loop.model, "optimizer": loop.optimizer}
  found |= {"trainee": loop.trainee, "programs": loop.programs}
  found |= {"history": loop.history, "weights": loop.model.weights[0].value}
  return {name: weakref.ref(one) for name, one in found.items()}


@pytest.fixture(autouse=True, scope="module")
def others_at_rest():
  """What the process holds already is neither searched nor counted."""
  gc.collect()
  gc.freeze()
  yield
  gc.unfreeze()


def left():
  """How many of each of TensorFlow's things the process holds."""
  gc.collect()
  objects = gc.get_objects()
  entries = ops.gradient_registry._registry
  return {
    "graphs": sum(isinstance(one, tf.Graph) for one in objects),
    "variables": sum(isinstance(one, tf.Variable) for one in objects),
    "functions": len(context.context().list_function_names()),
    "gradients": sum(name.startswith("CustomGradient") for name in entries),
  }


def check(make, tmp_path, loops=3):
  """Some loops, one after another, leave what one leaves."""
  counts = []
  for i in range(loops):
    workdir = tmp_path / str(i)
    workdir.mkdir()
    references = held(make(workdir))
    counts.append(left())
    alive = [name for name, one in references.items() if one() is not None]
    assert not alive, f"still there after loop {i + 1}: {alive}"
  # Less is no leak: what an earlier test left may go meanwhile.
  for name, first in counts[0].items():
    numbers = [one[name] for one in counts]
    assert max(numbers) == first, f"{name} after each loop: {numbers}"


@pytest.mark.parametrize(("engine", "loops"), [("graph", 3), ("xla", 2)])
def test_nothing_of_a_deleted_loop_stays(tmp_path, engine, loops):
  check(everything(engine), tmp_path, loops)


@pytest.mark.parametrize("make", [in_parts, ended])
def test_nor_of_one_of_another_kind(tmp_path, make):
  check(make, tmp_path)


def test_what_a_search_keeps_holds_no_loop():
  model, schedule, train = silu(), kernels.Linear(0.1, 0.0, 12), small.data()
  valid, results, references, counts = dataset(32), [], [], []
  for _ in range(3):
    loop = small.loop(model, schedule=schedule, compile="graph")
    sweep = trainloop.sweep_learning_rate(loop, train, steps=4)
    results += [sweep, loop.fit(train, 1, validation=valid), loop.best]
    references += [weakref.ref(loop), weakref.ref(loop.trainee)]
    del loop
    counts.append(left())
  assert [one() for one in references] == [None] * 6
  assert counts[1] == counts[0], "the model's last optimizer and metrics stay"
  assert counts[2] == counts[0]
  planned = results[1].planned()  # a history still knows its plan
  assert planned.rates[0] == np.float32(0.1)
  assert planned.momenta[0] == np.float32(0.9)  # the optimizer's own


def test_nor_of_one_with_replicas(tmp_path, two_replicas):
  check(replicated(two_replicas), tmp_path)


def test_a_gradient_lives_as_long_as_its_graph():
  before = left()["gradients"]
  with custom_gradients.released():
    traced = tf.function(lambda x: 3.0 * doubled(x), autograph=False)
    traced.get_concrete_function(tf.TensorSpec([]))
  assert left()["gradients"] == before + 1  # what TensorFlow registered
  x = tf.constant(5.0)
  for _ in range(2):
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = traced(x)
    assert float(tape.gradient(y, x)) == 6.0
  del traced, tape, y
  assert left()["gradients"] == before


def test_gradients_of_before_stay():
  traced = tf.function(lambda x: doubled(x), autograph=False)
  traced.get_concrete_function(tf.TensorSpec([]))
  before = left()["gradients"]
  with custom_gradients.released():
    pass
  del traced
  assert left()["gradients"] == before
