"""Counts XLA's compilations; `test_compilations.py` starts it.

  python compilations.py

XLA_FLAGS must say --xla_dump_to=FOLDER. Prints a line for each kind: its name,
the number of programs after a warm-up, and after the same again, with other
windows, data and steps; for "schedules" after other schedules and lengths.
"""

import os
import re

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
import tensorflow as tf

import kernels
import trainloop
from support import small
from trainloop.compiled import optimizer_step

(FOLDER,) = re.findall(r"--xla_dump_to=(\S+)", os.environ["XLA_FLAGS"])


def programs():
  """How many programs XLA has compiled."""
  return sum("before_optimizations" in name for name in os.listdir(FOLDER))


def resident():
  loop = small.loop(compile="xla", steps_per_loop=5)
  return lambda: loop.fit(small.data(), 2, validation=small.data(30, 10))


def staged():
  loop = small.loop(compile="xla", steps_per_loop=5, resident_mb=1e-6)
  return lambda: loop.fit(small.data(), 2, validation=small.data(30, 10))


def dataset():
  loop = small.loop(compile="xla", steps_per_loop=5)
  whole = tf.data.Dataset.from_tensor_slices(small.arrays())
  batches = whole.shuffle(96).batch(8, drop_remainder=True)
  return lambda: loop.fit(batches, 2)


def sweep():
  loop = small.loop(compile="xla")
  data, held = small.data(), small.data(30, 10, shuffle=False)

  def run():
    options = {"on": "validation", "validation": held, "divergence": None}
    found = trainloop.sweep_learning_rate(loop, data, steps=40, **options)
    assert len(found.losses) == 40

  return run


def schedules():
  """One loop: other schedules and lengths, a plateau that cuts, a sweep."""
  plateau = trainloop.ReduceOnPlateau(patience=1, min_delta=9.0)
  loop = small.loop(compile="xla", reduce_on_plateau=plateau)
  data, held = small.data(), small.data(30, 10)
  calls = []

  def run():
    calls.append(1)
    if len(calls) < 3:
      loop.fit(data, 1, validation=held, schedule=kernels.Constant(0.1))
      return
    loop.fit(data, 3, schedule=kernels.Cosine(0.1, 36), validation=held)
    stable = kernels.WarmupStableDecay(0.1, 8, 56, 20)
    loop.fit(data, 7, schedule=stable, validation=held)
    pieces = kernels.PiecewiseConstant([5], [0.1, 0.01])
    loop.fit(data, 1, schedule=pieces, validation=held)
    loop.fit(data, 1, schedule=pieces, validation=small.data(50, 10))
    loop.evaluate(small.data(70, 10))
    trainloop.sweep_learning_rate(loop, data, steps=20)
    trainloop.sweep_learning_rate(
      loop, data, steps=20, on="validation", validation=small.data(80, 10)
    )
    assert loop.traces == 1, loop.traces

  return run


def graph():
  """The optimizer's step of a window that TensorFlow runs."""
  optimizer_step._PAYS_FROM = 1
  loop, calls = small.loop(compile="graph"), []

  def run():
    calls.append(1)
    loop.fit(small.data(), len(calls), schedule=kernels.Cosine(0.1, 36))
    loop.fit(small.data(88), 1, schedule=kernels.Constant(len(calls) / 10))

  return run


if __name__ == "__main__":
  for kind in (resident, staged, dataset, sweep, schedules, graph):
    run, before, counts = kind(), programs(), []
    for _ in range(3):
      run()
      counts.append(programs())
    assert np.all(np.diff(counts) >= 0) and counts[0] > before, counts
    print(kind.__name__, counts[1], counts[2], flush=True)
