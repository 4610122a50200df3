"""The runs of `run_hashes.py`, in a process of their own, and their hashes.

  python scripts/experiments/hashed_runs.py FOLDER SEED RUN...

Trains the named runs in workdirs below FOLDER; prints one line a run, its name
and the three hashes. Only public names of the packages are used, so that it
runs on any version of them.
"""

import hashlib
import os
import pathlib
import signal
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing import event_file_loader

import kernels
import trainloop

EPOCHS, BATCH, TRAINED = 4, 96, 1440  # of 1797 digits
STEPS = EPOCHS * TRAINED // BATCH
KILLED_AT = 25
_CLOCK = "speed/"
_SESSIONS = "_hparams_/"


def digits():
  """Pixels in [0, 1], float32 (1797, 64), and labels, int64 (1797,)."""
  from sklearn import datasets

  x, y = datasets.load_digits(return_X_y=True)
  return (x / 16).astype(np.float32), y.astype(np.int64)


def model(rich=False):
  """An MLP 64-32-10 whose layers have names of their own; `rich` adds
  BatchNormalization and Dropout."""
  extra = [
    keras.layers.BatchNormalization(name="normalization"),
    keras.layers.Dropout(0.2, name="dropout"),
  ]
  return keras.Sequential(
    [
      keras.layers.Input((64,), name="pixels"),
      keras.layers.Dense(32, activation="relu", name="hidden"),
      *(extra if rich else []),
      keras.layers.Dense(10, activation="softmax", name="classes"),
    ],
    name="digits",
  )


def sgd():
  return keras.optimizers.SGD(nesterov=True)


def adam():
  return keras.optimizers.Adam()


def one_cycle(peak_lr=0.2):
  return kernels.OneCycle(peak_lr, total_steps=STEPS)


def options_of(name):
  """Options of `TrainLoop` for a run, its optimizer, and `rich` of `model`."""
  graph = {"optimizer": sgd, "schedule": one_cycle(), "compile": "graph"}
  slow = {**graph, "optimizer": adam, "schedule": one_cycle(0.01)}
  judged = {
    "schedule": kernels.CosineRestarts(0.5, 9),
    "early_stopping": trainloop.EarlyStopping(
      "val_accuracy", patience=4, min_delta=0.02
    ),
    "reduce_on_plateau": trainloop.ReduceOnPlateau(
      "val_loss", patience=1, min_delta=0.5
    ),
    "validate_every": "5st",
  }
  saved = {**graph, "rich": True, "checkpoint_every": "7st"}
  return {
    "sgd_graph": graph,
    "sgd_xla": {**graph, "compile": "xla"},
    "adam_graph": slow,
    "adam_xla": {**slow, "compile": "xla"},
    "judged_graph": {**graph, **judged},
    "judged_xla": {**graph, **judged, "compile": "xla"},
    "histograms": {**graph, "rich": True, "histograms_every": "1ep"},
    "float16": {**graph, "mixed_precision": "float16"},
    "accumulate": {**slow, "accumulate": 2},
    "dataset": {**slow, "rich": True},
    "whole": saved,
    "resumed": saved,
    "two_replicas": graph,
    "two_workers": graph,
  }[name]


def training_data(name, seed):
  """(what the run trains with, its validation)."""
  x, y = digits()
  rest = trainloop.ArrayData(
    x[TRAINED:], y[TRAINED:], batch_size=100, shuffle=False
  )
  x, y = x[:TRAINED], y[:TRAINED]
  if name != "dataset":
    return trainloop.ArrayData(x, y, batch_size=BATCH, seed=seed), rest
  data = tf.data.Dataset.from_tensor_slices((x, y))
  data = data.shuffle(TRAINED, seed=seed, reshuffle_each_iteration=True)
  return data.batch(BATCH, drop_remainder=True), rest


def strategy_of(name):
  """The strategy of the run; made before TensorFlow is used."""
  if name == "two_workers":
    return trainloop.strategy_for("multi_worker", peer_timeout=60)
  if name != "two_replicas":
    return None
  cpu = tf.config.list_physical_devices("CPU")[0]
  one = tf.config.LogicalDeviceConfiguration()
  tf.config.set_logical_device_configuration(cpu, [one] * 2)
  return trainloop.strategy_for("mirrored")


def train(name, workdir, seed):
  """Trains a run in a workdir.

  The process of "resumed" is killed inside the first fit of a workdir that is
  not there yet.

  Returns:
    The loop, and the `History` of its fit.
  """
  options = options_of(name)
  optimizer = options.pop("optimizer")
  rich = options.pop("rich", False)
  dies = name == "resumed" and not workdir.exists()

  def on_window(values):
    if dies and values["step"] >= KILLED_AT:
      os.kill(os.getpid(), signal.SIGKILL)

  loop = trainloop.TrainLoop(
    lambda: model(rich),
    optimizer,
    "sparse_categorical_crossentropy",
    metrics=["accuracy"],
    strategy=strategy_of(name),
    workdir=str(workdir),
    steps_per_loop=6,
    seed=seed,
    on_window=on_window,
    verbose=False,
    **options,
  )
  data, rest = training_data(name, seed)
  return loop, loop.fit(data, EPOCHS, validation=rest)


def points(workdir):
  """Every number in the event files below a folder, sorted.

  Text, wall times, what is measured by the clock and the sessions of the
  HParams page are left out.

  Returns:
    A list of (folder below the workdir, tag, step, bytes of the value).
  """
  result = []
  for path in sorted(workdir.rglob("events.out.tfevents.*")):
    folder = path.parent.relative_to(workdir).as_posix()
    for event in event_file_loader.EventFileLoader(str(path)).Load():
      for value in event.summary.value:
        left_out = value.tag.startswith((_CLOCK, _SESSIONS))
        if left_out or value.tensor.dtype == tf.string.as_datatype_enum:
          continue
        data = tf.make_ndarray(value.tensor).tobytes()
        result.append((folder, value.tag, event.step, data))
  return sorted(result)


def sha256(parts):
  """Hash of names, numbers and bytes, one after another."""
  result = hashlib.sha256()
  for part in parts:
    data = part if isinstance(part, bytes) else str(part).encode()
    result.update(len(data).to_bytes(8, "little") + data)
  return result.hexdigest()


def hashes(name, folder, seed):
  """Trains a run below a folder: hashes of its weights, rows and points."""
  workdir = pathlib.Path(folder) / name
  loop, history = train(name, workdir, seed)
  weights = [np.asarray(one).tobytes() for one in loop.model.variables]
  rows = [
    part
    for column, values in sorted(history.rows.items())
    for part in (column, values.dtype, values.tobytes())
  ]
  events = [part for point in points(workdir) for part in point]
  return sha256(weights), sha256(rows), sha256(events)


def main(folder, seed, *names):
  for name in names:
    print(name, *hashes(name, folder, int(seed)), flush=True)


if __name__ == "__main__":
  main(*sys.argv[1:])
