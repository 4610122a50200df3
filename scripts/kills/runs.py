"""Runs train.py in forked processes, kills them, and reads what they left."""

import hashlib
import json
import os
import pathlib
import signal
import struct
import time
from unittest import mock

from cli.light import output, strict_json

_TIMES = ("seconds", "steps_per_second", "resumed_from")


def fork(function, log):
  """Runs a function in a forked process; returns its id.

  TensorFlow is imported but not used before: a fork costs no import.
  """
  output.write("")
  child = os.fork()
  if child:
    return child
  code = 1
  try:
    file = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    code = function() or 0
  except SystemExit as error:
    code = error.code or 0
  except BaseException:
    import traceback

    traceback.print_exc()
  finally:
    output.write("")
    output.write("", error=True)
    os._exit(code)


def train(arguments, arm=None, pipeline=False):
  """What a child does: the real script, with a point armed or not.

  Args:
    arguments: the script's.
    arm: a function without arguments, called first; or None.
    pipeline: whether the arrays come as a shuffled `tf.data.Dataset`.
  """
  from absl import flags

  import train as script
  import trainloop

  if arm is not None:
    arm()
  script.define_flags()
  argv = ["train.py", *arguments]
  flags.FLAGS(argv)
  data = _pipeline if pipeline else trainloop.ArrayData
  with mock.patch.object(trainloop, "ArrayData", data):
    script.main(argv)


def _pipeline(x, y, batch_size, seed=None):
  """The data of arrays, read by tf.data; shuffled if there is a seed."""
  import tensorflow as tf

  from trainloop.data import source

  dataset = tf.data.Dataset.from_tensor_slices((x, y))
  if seed is not None:
    dataset = dataset.shuffle(len(x), seed=seed)
  dataset = dataset.batch(batch_size, drop_remainder=seed is not None)
  return source.adapt("data", dataset.prefetch(tf.data.AUTOTUNE))


def wait(child, timeout=300.0):
  """The exit code of a child, -9 after SIGKILL; kills it after a time."""
  end = time.monotonic() + timeout
  try:
    while time.monotonic() < end:
      done, status = os.waitpid(child, os.WNOHANG)
      if done:
        return os.waitstatus_to_exitcode(status)
      time.sleep(0.002)
    raise TimeoutError(f"a run took more than {timeout:g} s")
  except BaseException:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise


def has_part(workdir):
  """Whether a save is being written."""
  folder = os.path.join(workdir, "checkpoints")
  try:
    return any(name.startswith("part") for name in os.listdir(folder))
  except OSError:
    return False


def events(path):
  """[(step, tag, value bytes)] of what must be equal in an event file, read
  without TensorFlow."""
  from tensorboard.compat.proto import event_pb2

  content, points, at = path.read_bytes(), [], 0
  while at + 12 <= len(content):
    (size,) = struct.unpack_from("<Q", content, at)
    if at + 16 + size > len(content):
      raise ValueError(f"{path} ends inside a record")
    event = event_pb2.Event.FromString(content[at + 12 : at + 12 + size])
    points += [
      (event.step, value.tag, struct.pack("<f", value.simple_value))
      for value in event.summary.value
      # Texts say when a run went on; the speed is the machine's.
      if value.HasField("simple_value") and not value.tag.startswith("speed/")
    ]
    at += 16 + size
  return points


def series(workdir):
  """{"run/tag": [[step, hex of the value], ...]} in the order of the files."""
  points = {}
  for run in ("train", "validation", "plan", "fit_1"):
    for path in sorted(pathlib.Path(workdir, run).glob("events.*")):
      for step, tag, value in events(path):
        points.setdefault(f"{run}/{tag}", []).append([step, value.hex()])
  return points


def tensors(workdir):
  """{name: hash} of the newest checkpoint, without its texts; needs a child."""
  import tensorflow as tf

  folder = pathlib.Path(workdir, "checkpoints")
  newest = max(int(p.stem[5:]) for p in folder.glob("ckpt-*.index"))
  reader = tf.train.load_checkpoint(str(folder / f"ckpt-{newest}"))
  names = set(reader.get_variable_to_dtype_map()) - {"log", "written", "data"}
  return {
    name: hashlib.sha256(reader.get_tensor(name).tobytes()).hexdigest()
    for name in sorted(names)
  }


def orphans(workdir):
  """Paths in a workdir that no finished run leaves there."""
  from trainloop.workdir import run_names

  left = [n.path for n in run_names.walk(workdir) if run_names.is_left(n.path)]
  return [*run_names.unnamed(workdir), *left]


def left_by(workdir):
  """All that a run left and that must be equal, as JSON types."""
  root = pathlib.Path(workdir)
  result = json.loads((root / "result.json").read_text())
  return {
    "result": {k: v for k, v in result.items() if k not in _TIMES},
    "rows": hashlib.sha256((root / "rows.f32").read_bytes()).hexdigest(),
    "tensors": tensors(workdir),
    "series": series(workdir),
  }


def write_left(workdir, path):
  """What a child does: `left_by` into a file."""
  pathlib.Path(path).write_text(strict_json.dumps(left_by(workdir)))
