"""Quiet TensorFlow, and four logical CPUs, before anything uses it."""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import pytest
import tensorflow as tf

# What nohup ignores the scripts that tests start would ignore, too.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
# Scripts that tests start share what XLA compiles, apart from their user's.
_CACHE = None
if "TRAINLOOP_COMPILE_CACHE" not in os.environ:
  _CACHE = tempfile.TemporaryDirectory(prefix="compile-cache-")
  os.environ["TRAINLOOP_COMPILE_CACHE"] = _CACHE.name

tf.config.set_logical_device_configuration(
  tf.config.list_physical_devices("CPU")[0],
  [tf.config.LogicalDeviceConfiguration()] * 4,
)


# Their files take long, in this order; the others fill up what is left.
_FIRST = ("integration", "promises", "compiled", "model")


def pytest_collection_modifyitems(items):
  """Long files first: else one core runs the last of them alone."""

  def place(item):
    folders = item.path.relative_to(ROOT).parts
    ranks = [i for i, name in enumerate(_FIRST) if name in folders]
    return min(ranks, default=len(_FIRST))

  items.sort(key=place)


@pytest.fixture
def data_file():
  """A function: name of a data file -> its path; skips where it is not."""

  def find(name):
    path = DATA / name
    if not path.is_file():
      pytest.skip(f"no {name} beside the checkout")
    return str(path)

  return find


@pytest.fixture(scope="session")
def two_replicas():
  """One MirroredStrategy a process: a second one fails."""
  devices = [d.name for d in tf.config.list_logical_devices("CPU")[:2]]
  return tf.distribute.MirroredStrategy(devices)


@pytest.fixture
def disk(tmp_path):
  """A folder on a disk of its own of 512 KB."""
  folder = tmp_path / "disk"
  folder.mkdir()
  command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
  if not shutil.which("mount") or (
    subprocess.run(command, capture_output=True, check=False).returncode
  ):
    pytest.skip("no right to mount a small disk here")
  yield folder
  subprocess.run(["umount", "-l", str(folder)], check=True)
