"""The wheel alone trains, resumes and shows in TensorBoard."""

import importlib
import importlib.metadata
import json
import pathlib
import shutil
import subprocess
import sys
import venv
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PACKAGES = ("kernels", "trainloop")
NEEDS = ("absl", "keras", "numpy", "tensorboard", "tensorflow")
STEPS = 24  # 3 epochs of 8
# One process of a run: it stops after an epoch the first time, then goes on.
RUN = """
import json, sys

import keras
import numpy as np
import kernels, trainloop

rng = np.random.default_rng(0)
x, y = rng.normal(size=(64, 4)).astype("float32"), rng.integers(0, 2, 64)
steps = []

def on_epoch(values):
  steps.append(values["step"])
  if sys.argv[1] == "stop":
    loop.stop()

loop = trainloop.TrainLoop(
  lambda: keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)]),
  keras.optimizers.SGD(0.1, momentum=0.9),
  keras.losses.SparseCategoricalCrossentropy(from_logits=True),
  schedule=kernels.OneCycle(0.1, 24),
  workdir="run",
  verbose=False,
  on_epoch=on_epoch,
)
data = trainloop.ArrayData(x, y, batch_size=8, seed=0)
history = loop.fit(data, epochs=3)
files = [
  module.__file__
  for name, module in sys.modules.items()
  if name.partition(".")[0] in ("kernels", "trainloop")
]
print(json.dumps({
  "files": files,
  "steps": steps,
  "rates": history.rows["learning_rate"].tolist(),
}))
"""
# The chart as TensorBoard reads it.
READ = """
import json
from tensorboard.backend.event_processing import event_accumulator as events

reader = events.EventAccumulator("run/train", {events.SCALARS: 0})
reader.Reload()
points = reader.Scalars("hyperparameters/learning_rate")
print(json.dumps([[point.step, point.value] for point in points]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
  """The wheel of this checkout, made in a copy of it."""
  folder = tmp_path_factory.mktemp("wheel")
  skipped = shutil.ignore_patterns(
    ".*", "__pycache__", "*.egg-info", "build", "dist", "runs"
  )
  shutil.copytree(ROOT, folder / "source", ignore=skipped)
  command = [sys.executable, "-m", "pip", "wheel", "./source", "--no-deps"]
  # An isolated build takes setuptools from an index.
  if _has_setuptools(77):
    command.append("--no-build-isolation")
  done = subprocess.run(
    [*command, "--wheel-dir", "."], cwd=folder, capture_output=True, text=True
  )
  if done.returncode and "No matching distribution" in done.stderr:
    pytest.skip("no index to take setuptools from")
  assert done.returncode == 0, done.stderr
  shutil.rmtree(folder / "source")
  return next(folder.glob("*.whl"))


def _has_setuptools(least):
  try:
    version = importlib.metadata.version("setuptools")
  except importlib.metadata.PackageNotFoundError:
    return False
  return int(version.partition(".")[0]) >= least


@pytest.fixture(scope="module")
def python(wheel):
  """A clean environment's Python: the wheel, and what it depends on."""
  home = wheel.parent / "environment"
  venv.create(home, with_pip=False)
  binary = home / "bin" / "python"
  options = ["install", "--no-deps", "--no-index", "--quiet"]
  pip = [sys.executable, "-m", "pip", "--python", str(binary)]
  subprocess.run([*pip, *options, str(wheel)], check=True)
  # Paths in a .pth file come behind the environment's own, and the .pth files
  # in them, as an editable checkout's, are not read.
  there = {
    str(pathlib.Path(importlib.import_module(name).__file__).parent.parent)
    for name in NEEDS
  }
  packages = next(home.glob("lib/python*/site-packages"))
  (packages / "needs.pth").write_text("\n".join(sorted(there)))
  return binary


def run(python, cwd, code, *arguments):
  """What a process prints last, as JSON."""
  done = subprocess.run(
    [str(python), "-c", code, *arguments],
    cwd=cwd,
    env={"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  return json.loads(done.stdout.splitlines()[-1])


def test_wheel_holds_every_module_and_nothing_else(wheel):
  with zipfile.ZipFile(wheel) as archive:
    names = {name for name in archive.namelist() if name.endswith(".py")}
  assert names == {
    str(path.relative_to(ROOT))
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
  }


def test_wheel_trains_resumes_and_shows(python, tmp_path):
  begun = run(python, tmp_path, RUN, "stop")
  ended = run(python, tmp_path, RUN, "go on")
  home = str(python.parent.parent)
  for process in (begun, ended):
    assert all(file.startswith(home) for file in process["files"]), process
  assert (len(begun["rates"]), len(ended["rates"])) == (8, STEPS)
  # The second process goes on where the first stopped.
  assert (begun["steps"], ended["steps"]) == ([8], [16, 24])
  points = run(python, tmp_path, READ)
  assert points == [[i, rate] for i, rate in enumerate(ended["rates"])]
