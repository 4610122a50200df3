"""Prints the identity of many kinds of models, as one process sees it.

python identities.py [more]: with `more`, in a process that has made other
objects before, so that names count on.
"""

import functools
import json
import os
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from trainloop.compiled.programs import Programs
from trainloop.data import source as data_lib
from trainloop.devices import strategies
from trainloop.fit import schedules
from trainloop.model.goal import Goal
from trainloop.model.precision import Numerics
from trainloop.model.trainee import Trainee, TraineeOptions
from trainloop.workdir import identity as fit_identity
from trainloop.workdir.fit_entry import Lengths

L = keras.layers


@keras.saving.register_keras_serializable("here", "Scaled")
class Scaled(L.Layer):
  def __init__(self, by=2.0, **options):
    super().__init__(**options)
    self.by, self.tags = by, {"a", "b", "c"}

  def call(self, x):
    return x * self.by if "a" in {"a", "b", "x"} else x


class Own(keras.Model):
  def __init__(self, width):
    super().__init__()
    self.blocks = [L.Dense(width, activation="relu") for _ in range(2)]
    self.end, self.mode = L.Dense(3), "plain"

  def build(self, shape):
    self.scale = self.add_weight(shape=(8,), name="scale")
    super().build(shape)

  def call(self, x):
    x = x * self.scale
    for block in self.blocks:
      x = block(x)
    return self.end(x)


class Trains(Own):
  def train_step(self, data):
    raise NotImplementedError


def functional():
  x = a = L.Input((8,))
  shared = L.Dense(8, activation=lambda x: keras.ops.relu(x) * 0.5)
  inner = keras.Sequential([L.Input((8,)), L.Dense(8), L.Dropout(0.1)])
  x = shared(inner(shared(x))) + keras.ops.sum(a, 1, keepdims=True) * 2.0
  x = L.Concatenate()([x, L.GaussianNoise(0.1, seed=3)(a)])
  return keras.Model(a, L.Dense(3)(x))


def sequential():
  return keras.Sequential([L.Dense(4), L.BatchNormalization(), L.Dense(3)])


def adapted():
  found = L.Normalization()
  found.adapt(np.arange(24, dtype=np.float32).reshape(3, 8))
  return keras.Sequential([found, Scaled(3.0), L.Dense(3)])


def text():
  words = L.TextVectorization(output_sequence_length=4)
  words.adapt(["one two two", "three one four"])
  x = L.Input((1,), dtype="string")
  return keras.Model(x, L.Dense(3)(L.Flatten()(L.Embedding(9, 4)(words(x)))))


def loaded():
  with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "a.keras")
    functional_plain().save(path)
    return keras.saving.load_model(path)


def functional_plain():
  x = L.Input((8,))
  y = L.Bidirectional(L.LSTM(3))(L.Reshape((4, 2))(x))
  return keras.Model(x, L.Dense(3)(Scaled()(y)))


def attention():
  x = L.Input((8,))
  y = L.Reshape((4, 2))(x)
  y = L.MultiHeadAttention(2, 3)(y, y) + L.LayerNormalization()(y)
  return keras.Model(x, L.Dense(3)(L.GlobalAveragePooling1D()(y)))


def lambdas():
  factor = 3.0
  layers = [L.Lambda(lambda x: x * factor), L.Dense(3)]
  return keras.Sequential([L.Input((8,)), *layers])


def closed(y, p, power):
  return keras.ops.sum(keras.ops.abs(y - p) ** power, -1)


class Called:
  def __init__(self):
    self.power, self.names = 2.0, frozenset("abc")

  def __call__(self, y, p):
    return closed(y, p, self.power)


class Bounded(keras.losses.Loss):
  def __init__(self):
    super().__init__()
    self.limit = 2.0

  def call(self, y, p):
    return keras.ops.minimum(closed(y, p, 2.0), self.limit)


def step(model, x, y, training):
  return {"loss": tf.reduce_sum((model(x, training=training) - y) ** 2, -1)}


def arrays():
  x = np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32)
  return x, x[:, :3]


def dataset(shuffle=True):
  found = tf.data.Dataset.from_tensor_slices(arrays())
  found = found.shuffle(16) if shuffle else found.cache()
  table = tf.lookup.StaticHashTable(
    tf.lookup.KeyValueTensorInitializer(["a"], [1.0]), 0.0
  )

  def look(x, y):
    return x * table.lookup(tf.constant("a")), y

  return found.map(look).repeat(2).batch(4).prefetch(2)


def generator():
  x, y = arrays()

  def batches():
    yield from ((x[i : i + 4], y[i : i + 4]) for i in range(0, 16, 4))

  spec = tf.TensorSpec((None, 8)), tf.TensorSpec((None, 3))
  return tf.data.Dataset.from_generator(batches, output_signature=spec)


def words():
  x = tf.constant([["one two"], ["three"]] * 4)
  return tf.data.Dataset.from_tensor_slices((x, np.ones((8, 3)))).batch(4)


MSE = "mean_squared_error"
KINDS = {
  "functional": (functional, MSE, dataset),
  "sequential": (sequential, keras.losses.Huber(0.5), dataset),
  "subclassed": (lambda: Own(4), MSE, dataset),
  "adapted": (adapted, Bounded(), dataset),
  "text": (text, MSE, words),
  "loaded": (loaded, MSE, generator),
  "attention": (attention, functools.partial(closed, power=1.5), generator),
  "lambdas": (lambdas, lambda y, p: closed(y, p, 2.0), dataset),
  "callable": (sequential, Called(), lambda: dataset(False)),
  "step": (lambda: Trains(3), None, dataset),
  "bfloat16": (sequential, MSE, dataset),
}


def identity(name):
  """(the identity as JSON has it, what is left out) of a kind."""
  model, loss, data = KINDS[name]
  source, function = data_lib.adapt("data", data()), None
  if loss is None:
    function = step
  low = "bfloat16" if name == "bfloat16" else None
  optimizer = keras.optimizers.AdamW(0.1, weight_decay=0.1, clipnorm=1.0)
  optimizer.exclude_from_weight_decay(var_names=["bias"])
  metrics = None if function else [keras.metrics.MeanAbsoluteError()]
  goal = Goal(loss, metrics, step=function)
  options = TraineeOptions(goal, numerics=Numerics(low))
  trainee = Trainee(
    strategies.resolve(None), model if low else model(), optimizer, options
  )
  programs = Programs(trainee, "graph")
  programs.admit(source, source)
  schedule = schedules.resolve(trainee, None, source, 1)
  trainee.prepare(schedule)
  every = {"validate": "1ep", "checkpoint": "1ep"}
  data, made = (source, source), fit_identity.made(trainee)
  lengths = Lengths.of(1, source.steps_per_epoch, every)
  whole = fit_identity.of(
    trainee, programs.engine, data, lengths, schedule, {}, made
  )
  return whole.values, whole.not_compared


def main(more):
  if more:
    functional(), attention(), Own(3), adapted(), dataset(), generator()
  print(json.dumps({name: identity(name) for name in KINDS}))


if __name__ == "__main__":
  main(len(sys.argv) > 1)
