"""One strategy over engines, kinds of data and features; leaves what it did.

  python devices.py KIND FOLDER CASES   # CASES: few, soon, all

KIND: default, one_device, gpu (one that the device list was told of, on the
CPU), mirrored1, mirrored2, mirrored3, workers1, workers2 (each worker by its
own TF_CONFIG). `test_devices.py` compares them.
"""

import itertools
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
import tensorflow as tf

import trainloop
from support import small
from trainloop.fit import engine_trial

COMPILES = ("auto", "graph", "xla", "measure")
DATA = ("resident", "staged", "dataset", "ragged")
FEATURES = ("fit", "sweep", "float16", "accumulate")
# Each pair of two of these at least once.
SOON = [
  ("auto", "resident", "fit"),
  ("auto", "staged", "float16"),
  ("auto", "ragged", "accumulate"),
  ("xla", "resident", "accumulate"),
  ("xla", "dataset", "fit"),
  ("xla", "staged", "sweep"),
  ("graph", "dataset", "float16"),
  ("graph", "staged", "fit"),
  ("measure", "resident", "sweep"),
]
# One of each engine.
FEW = [SOON[0], SOON[5], SOON[6]]
CASES = {
  "few": FEW,
  "soon": SOON,
  "all": list(itertools.product(COMPILES, DATA, FEATURES)),
}


def told_of_a_gpu():
  """Makes TensorFlow's lists of devices name one GPU, which it puts on the CPU
  as it is not there (soft placement)."""
  for name, kind, device in (
    ("list_physical_devices", tf.config.PhysicalDevice, "/physical_device:"),
    ("list_logical_devices", tf.config.LogicalDevice, "/device:"),
  ):
    gpu, real = kind(f"{device}GPU:0", "GPU"), getattr(tf.config, name)

    def listed(device_type=None, gpu=gpu, real=real):
      found = [gpu] if device_type in (None, "GPU") else []
      return found + ([] if device_type == "GPU" else real(device_type))

    setattr(tf.config, name, listed)


def make_strategy(kind):
  name, count = kind.rstrip("0123456789"), kind[-1:]
  if name == "mirrored":
    cpu = tf.config.list_physical_devices("CPU")[0]
    one = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [one] * int(count))
    return trainloop.strategy_for("mirrored")
  if name == "workers":
    return trainloop.strategy_for("multi_worker", peer_timeout=60)
  if name == "gpu":
    told_of_a_gpu()
    return trainloop.strategy_for("auto")
  if name == "one_device":
    return tf.distribute.OneDeviceStrategy("CPU:0")
  return None


def source(kind):
  x, y = small.arrays(44)
  if kind in ("resident", "staged"):
    return trainloop.ArrayData(x, y, batch_size=12, seed=1)
  whole = tf.data.Dataset.from_tensor_slices((x, y))
  return whole.batch(12, drop_remainder=kind == "dataset")


def run(strategy, compile, kind, feature):
  """The rows and validations of a short run, as one vector."""
  told = []
  loop = small.loop(
    lambda: small.model(rich=feature == "fit"),
    lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    strategy=strategy,
    compile=compile,
    resident_mb=1e-6 if kind == "staged" else None,
    mixed_precision="float16" if feature == "float16" else None,
    accumulate=2 if feature == "accumulate" else 1,
    on_epoch=told.append if feature == "fit" else None,
  )
  data, found = source(kind), []
  if feature == "sweep":
    sweep = trainloop.sweep_learning_rate(loop, data, steps=4, max_lr=0.1)
    found.append(sweep.losses)
  history = loop.fit(data, 1, validation=source(kind))
  values = loop.evaluate(source(kind))
  assert feature != "fit" or told[0]["val_loss"] == history.epochs["val_loss"]
  np.testing.assert_allclose(values["loss"], history.epochs["val_loss"], 1e-6)
  # In float16 the first scale may be too large: such an update is skipped.
  names = ("loss",) if feature == "float16" else ("loss", "grad_norm")
  found += [history.rows[name] for name in names]
  found += [history.epochs["accuracy"], [values["loss"], values["accuracy"]]]
  assert np.isfinite(np.concatenate(found)).all()
  engine = loop.engine.name if compile != "measure" else "measured"
  return engine, np.concatenate(found)


def main(kind, folder, cases):
  engine_trial._SECONDS = 0.1  # of a trial
  strategy, found = make_strategy(kind), {}
  for case in CASES[cases]:
    if case[1:] == ("ragged", "accumulate") and kind[-1:] in "23":
      continue  # 12 examples divide by 2, 4 and 6; the last 8 in any way
    try:
      engine, values = run(strategy, *case)
    except ValueError as error:
      engine, values = f"refused: {error}", np.zeros(0)
    found["/".join(case)] = values
    found["/".join((*case, "engine"))] = engine
  index = trainloop.devices.collectives.Workers(
    strategy or tf.distribute.get_strategy()
  )
  np.savez(os.path.join(folder, f"{kind}_{index.index}.npz"), **found)


if __name__ == "__main__":
  main(*sys.argv[1:])
