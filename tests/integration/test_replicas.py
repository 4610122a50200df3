"""1 device, 2 and 4 mirrored replicas, 2 and 3 processes: the same run.

`processes/replicas.py` trains once in each; one MirroredStrategy a process.
Last measured: losses differ by 2.3e-7 at most, lr and momentum by no bit.
"""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from support import commands
from support.processes import replicas

RUNS = {"mirrored2": 1, "mirrored4": 1, "workers2": 2, "workers3": 3}
# The larger ones of each kind take a minute a piece.
LONG = ("mirrored4", "workers3")
FILES = [
  pytest.param(f"{run}_{i}", marks=[pytest.mark.long] * (run in LONG))
  for run, count in RUNS.items()
  for i in range(count)
]


def records(folder):
  """47 examples in 5 TFRecord files, of unequal lengths."""
  x, y = replicas.noisy(47)
  for i in range(5):
    with tf.io.TFRecordWriter(f"{folder}/part-{i}.tfrecord") as file:
      for one in range(i, 47, 5):
        feature = {
          "x": tf.train.Feature(
            float_list=tf.train.FloatList(value=x[one].tolist())
          ),
          "y": tf.train.Feature(
            int64_list=tf.train.Int64List(value=[int(y[one])])
          ),
        }
        features = tf.train.Features(feature=feature)
        example = tf.train.Example(features=features)
        file.write(example.SerializeToString())


def run(kind, count, *rest):
  command = [
    sys.executable,
    str(commands.PROCESSES / "replicas.py"),
    kind,
    str(count),
    *map(str, rest),
  ]
  if kind == "workers":
    front = [sys.executable, commands.LAUNCH, f"--workers={count}", "--"]
    command = front + command
  done = subprocess.run(
    command,
    env={**os.environ, "PYTHONPATH": commands.PATHS},
    capture_output=True,
    text=True,
    timeout=400,
    check=False,
  )
  assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]


class Runs(dict):
  """{name of a process: its arrays}; each run starts when it is asked for.

  Args:
    folder: for the files of the runs.
    part: what of `replicas.py` they do.
  """

  def __init__(self, folder, part):
    super().__init__()
    self._folder, self._part = folder, part

  def __missing__(self, name):
    kind = name.split("_")[0]
    run(kind[:-1], int(kind[-1]), self._folder, self._part)
    for path in self._folder.glob(f"{kind}_*.npz"):
      self[path.stem] = dict(np.load(path))
    return self[name]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  folder = tmp_path_factory.mktemp("runs")
  records(folder)
  return Runs(folder, "main")


@pytest.fixture(scope="module")
def runs_of_adam(tmp_path_factory):
  return Runs(tmp_path_factory.mktemp("adam"), "adam")


@pytest.mark.parametrize("name", FILES)
def test_the_same_200_updates(runs, name):
  check_200_updates(runs, name, "sgd")


@pytest.mark.long
@pytest.mark.parametrize("name", FILES)
def test_the_same_200_updates_of_adam(runs_of_adam, name):
  check_200_updates(runs_of_adam, name, "adam")


def check_200_updates(runs, name, optimizer):
  want, found = runs["device1_0"], runs[name]
  for column in ("learning_rate", "momentum"):
    key = f"{optimizer}/{column}"
    assert found[key].tobytes() == want[key].tobytes()
    assert len(found[key]) == 200
  losses = [one[f"{optimizer}/loss"] for one in (found, want)]
  np.testing.assert_allclose(*losses, rtol=1e-5)
  weights = [one[f"{optimizer}/weights"] for one in (found, want)]
  np.testing.assert_allclose(*weights, rtol=1e-4, atol=1e-4)
  assert found[f"{optimizer}/equal"]


@pytest.mark.parametrize(
  "run", ["workers2", pytest.param("workers3", marks=pytest.mark.long)]
)
def test_workers_hold_the_same_bytes(runs, run):
  for i in range(1, RUNS[run]):
    for key, values in runs[f"{run}_0"].items():
      assert runs[f"{run}_{i}"][key].tobytes() == values.tobytes(), key


@pytest.mark.parametrize("name", FILES)
def test_the_strategy_is_really_used(runs, name):
  count = int(name.split("_")[0][-1])
  assert runs[name]["sgd/replicas"] == count
  assert runs[name]["sgd/seen"] == 24 / count


@pytest.mark.parametrize("name", FILES)
def test_every_example_counts_once(runs, name):
  """47 examples in batches of 10, a validation of 3 in batches of 2."""
  want, found = runs["device1_0"], runs[name]
  keys = [key for key in want if key.startswith("uneven/")]
  assert len(keys) >= 8
  for key in keys:
    if want[key].dtype.kind == "U":
      assert found[key] == want[key] == "early_stopping"
    else:
      np.testing.assert_allclose(found[key], want[key], rtol=1e-6)


@pytest.mark.parametrize("name", FILES)
def test_datasets_as_on_one_device(runs, name):
  for key in ("dataset/loss", "dataset/accuracy"):
    np.testing.assert_allclose(runs[name][key], runs["device1_0"][key], 1e-5)


@pytest.mark.parametrize("name", ["device1_0", *FILES])
def test_files_sharded_by_worker(runs, name):
  found = runs[name]
  want = found["sharded/wanted"]
  np.testing.assert_allclose(found["sharded/evaluated"], want, rtol=1e-5)
  losses = found["sharded/trained"]
  assert losses.shape == (20,)
  assert losses[-5:].mean() < losses[:5].mean()


@pytest.mark.parametrize("name", FILES)
def test_early_stopping_at_the_same_step(runs, name):
  assert runs[name]["uneven/steps"] == runs["device1_0"]["uneven/steps"] == 15


@pytest.mark.parametrize("name", FILES)
def test_synchronized_statistics(runs, name):
  for key in ("batchnorm/loss", "batchnorm/moving"):
    np.testing.assert_allclose(
      runs[name][key], runs["device1_0"][key], rtol=1e-5
    )


@pytest.mark.parametrize("name", FILES)
def test_cuts_stop_and_sweep_are_the_same_everywhere(runs, name):
  want, found = runs["device1_0"], runs[name]
  assert found["judging/stop"] == want["judging/stop"]
  assert str(want["judging/stop"]).startswith("early_stopping")
  rates = want["judging/rates"]
  assert found["judging/rates"].tobytes() == rates.tobytes()
  assert rates[9] == np.float32(0.1) and rates[18] < np.float32(0.06)
  weights = [one["judging/weights"] for one in (found, want)]
  np.testing.assert_allclose(*weights, rtol=1e-4, atol=1e-5)
  assert found["sweep/rates"].tobytes() == want["sweep/rates"].tobytes()
  assert want["sweep/diverged"] and 20 < len(want["sweep/rates"]) < 60
  losses = [one["sweep/losses"] for one in (found, want)]
  np.testing.assert_allclose(*losses, rtol=1e-3)


@pytest.mark.parametrize("name", ["device1_0", *FILES])
def test_a_sweep_restores_every_replica(runs, name):
  assert runs[name]["sweep/untouched"]


def test_windows_do_not_matter_under_mirrored(runs):
  run = runs["mirrored2_0"]
  assert len({str(run[f"windows/{n}"]) for n in replicas.WINDOWS}) == 1
