"""One process of one configuration; leaves what it did in an npz.

  python replicas.py KIND COUNT FOLDER PART

KIND: device, mirrored, workers; PART: main, adam.

A worker finds itself through TF_CONFIG and leaves a file of its own.
`test_replicas.py` compares them.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
import tensorflow as tf

import kernels
import trainloop
from support import small

STEPS, BATCH = 200, 24
WINDOWS = (1, 7)
OPTIMIZERS = {
  "sgd": lambda: keras.optimizers.SGD(nesterov=True),
  "adam": lambda: keras.optimizers.Adam(),
}


def make_strategy(kind, count):
  if kind == "workers":
    return trainloop.strategy_for("multi_worker", peer_timeout=60)
  cpu = tf.config.list_physical_devices("CPU")[0]
  one = tf.config.LogicalDeviceConfiguration()
  tf.config.set_logical_device_configuration(cpu, [one] * count)
  return trainloop.strategy_for("mirrored" if kind == "mirrored" else "auto")


class Recorder(keras.layers.Layer):
  """Keeps the examples of its last batch, and how many replicas there are."""

  def build(self, shape):
    self.seen = self.add_weight(
      name="seen", shape=(), initializer="zeros", trainable=False
    )

  def call(self, x, training=False):
    if training:
      context = tf.distribute.get_replica_context()
      self.replicas = context.num_replicas_in_sync
      rows = tf.cast(tf.shape(x)[0], tf.float32)
      self.seen.assign(rows)
    return x


def model():
  keras.utils.set_random_seed(1)
  return keras.Sequential(
    [
      keras.layers.Input((8,)),
      Recorder(),
      keras.layers.Dense(16, activation="tanh"),
      keras.layers.Dense(3, activation="softmax"),
    ]
  )


def noisy(examples):
  """Blobs with a tenth of the labels wrong: the loss stays away from 0."""
  x, y = small.arrays(examples)
  rng = np.random.default_rng(3)
  wrong = rng.random(examples) < 0.1
  return x, np.where(wrong, rng.integers(0, 3, examples), y)


def train(found, strategy, name):
  """200 updates; keeps rows, weights, and whether the replicas are equal."""
  net = []
  loop = small.loop(
    lambda: net.append(model()) or net[0],
    OPTIMIZERS[name],
    strategy=strategy,
    schedule=kernels.OneCycle(0.05 if name == "sgd" else 0.01, STEPS),
    compile="graph",
  )
  x, y = noisy(STEPS // 4 * BATCH)
  data = trainloop.ArrayData(x, y, batch_size=BATCH, seed=0)
  history = loop.fit(data, 4)
  for column, values in history.rows.items():
    found[f"{name}/{column}"] = values
  found[f"{name}/weights"] = np.concatenate(
    [w.numpy().ravel() for w in loop.model.trainable_variables]
  )
  found[f"{name}/seen"] = float(net[0].layers[0].seen.numpy())
  found[f"{name}/replicas"] = net[0].layers[0].replicas
  found[f"{name}/equal"] = equal_replicas(loop)


def equal_replicas(loop):
  """Whether weights and slots are the same bytes on all local replicas."""
  variables = [
    *loop.model.trainable_variables,
    *(v for v in loop.optimizer.variables),
  ]
  for variable in variables:
    values = getattr(variable.value, "values", None)
    if values and len({one.numpy().tobytes() for one in values}) > 1:
      return False
  return True


def uneven(found, strategy):
  """A batch of 10, 47 examples, a validation of 3; stops early."""
  x, y = noisy(47)
  stopping = trainloop.EarlyStopping("val_loss", 2, min_delta=1.0)
  loop = small.loop(
    lambda: small.model(rich=False),
    OPTIMIZERS["sgd"],
    strategy=strategy,
    schedule=kernels.Constant(0.1),
    early_stopping=stopping,
    compile="graph",
  )
  data = trainloop.ArrayData(
    x, y, np.linspace(0.5, 1.5, 47), batch_size=10, drop_remainder=False
  )
  history = loop.fit(
    data, 10, validation=trainloop.ArrayData(*noisy(3), batch_size=2)
  )
  for column, values in history.epochs.items():
    found[f"uneven/{column}"] = values
  found["uneven/stop"] = history.stop_reason
  found["uneven/steps"] = len(history.rows["step"])
  found["uneven/loss"] = history.rows["loss"]
  every = loop.evaluate(trainloop.ArrayData(x, y, batch_size=46))
  found["uneven/evaluated"] = [every["loss"], every["accuracy"]]


def statistics(found, strategy):
  """BatchNormalization of the global batch, and moving averages of it."""

  def net():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
      [
        keras.layers.Input((8,)),
        keras.layers.BatchNormalization(synchronized=True),
        keras.layers.Dense(3, activation="softmax"),
      ]
    )

  loop = small.loop(
    net,
    OPTIMIZERS["sgd"],
    strategy=strategy,
    schedule=kernels.Constant(0.1),
    compile="graph",
  )
  history = loop.fit(small.data(96, 24), 3)
  found["batchnorm/loss"] = history.rows["loss"]
  found["batchnorm/moving"] = np.concatenate(
    [v.numpy() for v in loop.model.non_trainable_variables]
  )


def judging(found, strategy):
  """Cuts, a stop judged by cycles and a sweep, all from reduced values."""

  def make(rich):
    return small.loop(
      lambda: small.model(rich=rich),
      OPTIMIZERS["sgd"],
      strategy=strategy,
      schedule=kernels.CosineRestarts(0.1, 9),
      early_stopping=trainloop.EarlyStopping(
        "val_loss", 2, min_delta=1.0, unit="cycle", restore="all"
      ),
      reduce_on_plateau=trainloop.ReduceOnPlateau(
        "val_loss",
        patience=2,
        factor=0.5,
        min_delta=1.0,
        restore_best_first=True,
      ),
      compile="graph",
    )

  data, valid = small.data(47, 10, drop_remainder=False), small.data(33, 16)
  options = {"max_lr": 100.0, "steps": 60}
  loop = make(rich=False)
  sweep = trainloop.sweep_learning_rate(loop, data, **options)
  history = loop.fit(data, 20, validation=valid)
  found["judging/rates"] = history.rows["learning_rate"]
  found["judging/weights"] = np.concatenate(
    [w.numpy().ravel() for w in loop.model.trainable_variables]
  )
  found["judging/stop"] = f"{history.stop_reason} {loop.best['epoch']}"
  found["sweep/rates"], found["sweep/losses"] = (
    sweep.learning_rates,
    sweep.losses,
  )
  found["sweep/diverged"] = sweep.diverged
  rich = make(rich=True)
  rich.fit(data, 2, validation=valid)
  before = local_bytes(rich, strategy)
  trainloop.sweep_learning_rate(rich, data, **options)
  trainloop.sweep_learning_rate(
    rich, data, on="validation", validation=small.data(32, 8), **options
  )
  found["sweep/untouched"] = local_bytes(rich, strategy) == before


def local_bytes(loop, strategy):
  """Hash of all that training moves, on every replica of this process."""
  return small.digest(
    part
    for group in loop.trainee.moved().values()
    for variable in group.values()
    for part in strategy.experimental_local_results(variable)
  )


def windows(found, strategy):
  """Bytes of a run in windows of 1 and of 7 updates."""
  for length in WINDOWS:
    loop = small.loop(
      lambda: small.model(rich=True),
      OPTIMIZERS["adam"],
      strategy=strategy,
      schedule=kernels.OneCycle(0.01, 60),
      steps_per_loop=length,
      compile="graph",
    )
    history = loop.fit(small.data(160, 8), 3)
    rows = [history.rows[name] for name in sorted(history.rows)]
    found[f"windows/{length}"] = small.digest(rows) + small.state_of(loop)


def datasets(found, strategy, folder):
  """A tf.data.Dataset with partial batches; TFRecord files by worker."""
  x, y = noisy(47)
  whole = tf.data.Dataset.from_tensor_slices((x, y))
  loop = small.loop(
    small.model,
    OPTIMIZERS["sgd"],
    strategy=strategy,
    schedule=kernels.Constant(0.1),
    metrics=["accuracy"],
    compile="graph",
  )
  history = loop.fit(whole.batch(10), 3)
  found["dataset/loss"] = history.rows["loss"]
  found["dataset/accuracy"] = history.epochs["accuracy"]

  def parse(record):
    spec = {
      "x": tf.io.FixedLenFeature([8], tf.float32),
      "y": tf.io.FixedLenFeature([], tf.int64),
    }
    example = tf.io.parse_single_example(record, spec)
    return example["x"], example["y"]

  def read(context):
    files = tf.data.Dataset.list_files(f"{folder}/*.tfrecord", shuffle=False)
    files = files.shard(context.num_input_pipelines, context.input_pipeline_id)
    examples = files.interleave(
      tf.data.TFRecordDataset, num_parallel_calls=2, deterministic=True
    )
    size = context.get_per_replica_batch_size(12)
    return examples.map(parse).batch(size)

  every = loop.evaluate(trainloop.ShardedData(read, steps_per_epoch=8))
  found["sharded/evaluated"] = [every["loss"], every["accuracy"]]
  every = loop.evaluate(trainloop.ArrayData(x, y, batch_size=12))
  found["sharded/wanted"] = [every["loss"], every["accuracy"]]
  history = loop.fit(trainloop.ShardedData(read, steps_per_epoch=5), 4)
  found["sharded/trained"] = history.rows["loss"]


def main(kind, count, folder, part):
  strategy, found = make_strategy(kind, int(count)), {}
  if part == "adam":
    train(found, strategy, part)
  else:
    train(found, strategy, "sgd")
    uneven(found, strategy)
    statistics(found, strategy)
    datasets(found, strategy, folder)
    judging(found, strategy)
  if part == "main" and kind == "mirrored" and count == "2":
    windows(found, strategy)
  index = trainloop.devices.collectives.Workers(strategy).index
  np.savez(os.path.join(folder, f"{kind}{count}_{index}.npz"), **found)


if __name__ == "__main__":
  main(*sys.argv[1:])
