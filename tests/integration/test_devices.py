"""Every strategy with every engine, kind of data and feature; the one-GPU path.

The GPU is one that TensorFlow's lists are told of: what asks for it takes the
branches that a machine with one GPU takes, and TensorFlow computes on the CPU.
"""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from support import commands
from support.processes import devices

ENVIRONMENT = {**os.environ, "PYTHONPATH": commands.PATHS}
ONE_GPU = commands.PROCESSES / "one_gpu.py"
# One replica trains to the bytes of no strategy at all. Each process takes some
# 25 s; those that the other tests start in other ways are long.
SAME = ("mirrored1", "one_device", "workers1")
SEVERAL = ("mirrored2", "mirrored3", "workers2")


def start(*command):
  return subprocess.run(
    [sys.executable, *map(str, command)],
    env=ENVIRONMENT,
    capture_output=True,
    text=True,
    timeout=580,
    check=False,
  )


class Runs(dict):
  """{kind: what its process did}; each starts when it is asked for.

  Args:
    folder: for their files.
    cases: those of `devices.CASES` that they do.
  """

  def __init__(self, folder, cases):
    super().__init__()
    self._folder, self._cases = folder, cases

  def __missing__(self, kind):
    script = commands.PROCESSES / "devices.py"
    command = [script, kind, self._folder, self._cases]
    if kind.startswith("workers"):
      front = [commands.LAUNCH, f"--workers={kind[-1]}", "--", sys.executable]
      command = front + command
    done = start(*command)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    self[kind] = dict(np.load(self._folder / f"{kind}_0.npz"))
    return self[kind]


@pytest.fixture(scope="module")
def soon(tmp_path_factory):
  return Runs(tmp_path_factory.mktemp("devices"), "soon")


@pytest.fixture(scope="module")
def few(tmp_path_factory):
  return Runs(tmp_path_factory.mktemp("few"), "few")


@pytest.fixture(scope="module")
def every(tmp_path_factory):
  return Runs(tmp_path_factory.mktemp("every"), "all")


def check_same(found, wanted):
  assert set(found) == set(wanted)
  for case, values in wanted.items():
    if "measure" not in case:  # it may take another engine
      assert found[case].tobytes() == values.tobytes(), case
    assert "refused: " not in str(found[case]) or "ragged" in case, found[case]


def check_several(found, wanted):
  for case, values in found.items():
    compile, _, feature, *rest = case.split("/")
    if rest:
      known = str(values)
      if compile == "xla":
        assert "'graph' or 'auto' with several replicas" in known
      else:
        assert known in ("graph", "measured"), (case, known)
    elif compile != "xla" and feature not in ("fit", "float16"):
      # BatchNormalization sees a replica's share, and float16 rounds.
      np.testing.assert_allclose(values, wanted[case], 1e-3, err_msg=case)


def check_gpu(found, wanted):
  """On a GPU XLA draws and adds up otherwise."""
  assert set(found) == set(wanted)
  for case, values in wanted.items():
    if values.dtype.kind == "U":
      assert str(found[case]) == str(values), case
    elif not case.endswith("fit"):  # with Dropout
      np.testing.assert_allclose(found[case], values, 1e-3, err_msg=case)


def test_one_gpu_takes_its_branches(soon):
  check_gpu(soon["gpu"], soon["default"])


def test_one_mirrored_replica_is_no_strategy_at_all(few, soon):
  names = ("/".join(case) for case in devices.FEW)
  keys = [key for name in names for key in (name, f"{name}/engine")]
  check_same(few["mirrored1"], {key: soon["default"][key] for key in keys})


@pytest.mark.long
@pytest.mark.parametrize("kind", SAME)
def test_one_replica_is_no_strategy_at_all(soon, kind):
  check_same(soon[kind], soon["default"])


@pytest.mark.long
@pytest.mark.parametrize("kind", SEVERAL)
def test_several_replicas_do_the_same(soon, kind):
  check_several(soon[kind], soon["default"])


@pytest.mark.long
@pytest.mark.parametrize("kind", SAME)
def test_one_replica_in_every_combination(every, kind):
  assert len(every["default"]) == 2 * 64
  check_same(every[kind], every["default"])


@pytest.mark.long
@pytest.mark.parametrize("kind", SEVERAL)
def test_several_replicas_in_every_combination(every, kind):
  check_several(every[kind], every["default"])


def test_the_cover_has_every_choice():
  for place, choices in enumerate(
    (devices.COMPILES, devices.DATA, devices.FEATURES)
  ):
    assert {case[place] for case in devices.SOON} == set(choices)


def train(folder, *flags):
  flags = ("--dataset=digits", f"--workdir={folder / 'run'}", *flags)
  return start(ONE_GPU, "train.py", *flags)


def result(folder):
  return json.loads((folder / "run" / "result.json").read_text())


def test_train_and_go_on_with_one_gpu(tmp_path):
  """The first command, killed by a signal, goes on to the same weights."""
  flags = ("--epochs=3", "--checkpoint_every=20st")
  for name in ("whole", "cut"):
    (tmp_path / name).mkdir()
  whole = train(tmp_path / "whole", *flags)
  assert whole.returncode == 0, (whole.stdout + whole.stderr)[-3000:]
  assert "GPU:0 (OneDeviceStrategy, 1 replica)" in whole.stdout + whole.stderr
  workdir = tmp_path / "cut" / "run"
  process = subprocess.Popen(
    [sys.executable, ONE_GPU, "train.py"]
    + ["--dataset=digits", f"--workdir={workdir}", *flags],
    env=ENVIRONMENT,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  while process.poll() is None and not list(workdir.rglob("*.index")):
    time.sleep(0.02)
  process.send_signal(signal.SIGTERM)
  process.wait(120)
  again = train(tmp_path / "cut", *flags)
  assert again.returncode == 0, (again.stdout + again.stderr)[-3000:]
  found, wanted = result(tmp_path / "cut"), result(tmp_path / "whole")
  assert found["weights_sha256"] == wanted["weights_sha256"]
  assert found["metrics"] == wanted["metrics"]


def test_a_sweep_with_one_gpu(tmp_path):
  flags = (
    "--dataset=digits",
    "--steps=40st",
    f"--workdir={tmp_path / 'sweep'}",
  )
  done = start(ONE_GPU, "sweep.py", *flags)
  assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
  assert list(tmp_path.rglob("*.csv"))
