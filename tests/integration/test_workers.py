"""Worker processes on 127.0.0.1: killed, frozen, stopped, missing, launched."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import launch_workers
from support import commands

TRAIN = str(commands.ROOT / "scripts" / "train.py")
# 900 updates, of which a checkpoint holds every 50th.
RUN = ("--epochs=20", "--checkpoint_every=50st", "--hidden=32", "--seed=3")


def launch(*flags, cwd, workers=2, timeout=240):
  """Runs train.py in worker processes to the end."""
  return subprocess.run(
    [
      sys.executable,
      commands.LAUNCH,
      f"--workers={workers}",
      "--",
      sys.executable,
    ]
    + [TRAIN, *flags],
    cwd=cwd,
    capture_output=True,
    text=True,
    timeout=timeout,
    check=False,
  )


class Pair:
  """Two workers started by hand, so that each can be hit alone."""

  def __init__(self, cwd, *flags, count=2):
    self.addresses = launch_workers.addresses(2)
    self.processes = [
      subprocess.Popen(
        [sys.executable, TRAIN, "--strategy=multi_worker", *flags]
        + [f"--workers={','.join(self.addresses)}", f"--worker_index={i}"],
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
      )
      for i in range(count)
    ]

  def wait_for_rows(self, workdir, rows):
    """Returns once the journal holds that many rows."""
    path = workdir / "rows.f32"
    until = time.monotonic() + 120
    while time.monotonic() < until:
      if path.exists() and path.stat().st_size >= 20 * rows:
        return
      assert all(p.poll() is None for p in self.processes), self.ends()
      time.sleep(0.02)
    raise AssertionError(f"no {rows} rows")

  def send(self, index, number):
    os.kill(self.processes[index].pid, number)

  def end(self, index):
    """(exit code, the lines that say why) of a worker that ends by itself."""
    process = self.processes[index]
    _, errors = process.communicate(timeout=60)
    lines = [one for one in errors.splitlines() if one.startswith("error: ")]
    return process.returncode, lines

  def ends(self):
    return [self.end(i) for i in range(len(self.processes))]

  def kill(self):
    for process in self.processes:
      if process.poll() is None:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def hit(tmp_path_factory):
  """A run of two workers that was hit four times, and what each end was."""
  cwd = tmp_path_factory.mktemp("hit")
  work, ends = cwd / "run", {}
  flags = ("--workdir=run", "--cluster_secret_file=secret", *RUN)
  (cwd / "secret").write_text("known to both of them\n")
  (cwd / "secret").chmod(0o600)
  for name, index, number, rows in (
    ("killed worker", 1, signal.SIGKILL, 120),
    ("killed chief", 0, signal.SIGKILL, 250),
    ("frozen worker", 1, signal.SIGSTOP, 400),
    ("ended worker", 1, signal.SIGTERM, 550),
  ):
    pair = Pair(cwd, *flags)
    try:
      pair.wait_for_rows(work, rows)
      pair.send(index, number)
      ends[name] = pair.end(1 - index), pair.addresses[index]
      if number == signal.SIGTERM:
        ends["the ended one"] = pair.end(index), None
    finally:
      pair.kill()
  done = launch(*flags, cwd=cwd)
  assert done.returncode == 0, done.stdout[-2000:]
  return work, ends


@pytest.mark.parametrize(
  ("name", "index"),
  [("killed worker", 1), ("killed chief", 0), ("frozen worker", 1)],
)
def test_the_other_one_ends_and_names_it(hit, name, index):
  (code, lines), address = hit[1][name]
  assert code == 1
  assert len(lines) == 1
  assert f"worker {index} at {address} is lost" in lines[0]


def test_sigterm_to_one_ends_both_after_the_same_step(hit):
  (code, (line,)), _ = hit[1]["ended worker"]
  (code_of_it, (line_of_it,)), _ = hit[1]["the ended one"]
  assert code == code_of_it == 143
  assert line == line_of_it
  assert "stopped by a signal after" in line
  saved = int(line.split("after ")[1].split()[0])
  result = json.loads((hit[0] / "result.json").read_text())
  assert result["resumed_from"][-1] == saved


def test_nothing_is_lost(hit, tmp_path):
  """Byte-equal to the run of two workers that nobody hit."""
  done = launch("--workdir=run", *RUN, cwd=tmp_path)
  assert done.returncode == 0, done.stdout[-2000:]
  results = []
  for work in (hit[0], tmp_path / "run"):
    results.append(json.loads((work / "result.json").read_text()))
  first, second = results
  assert len(first["resumed_from"]) == 4
  for key in ("weights_sha256", "metrics", "best", "steps", "epochs"):
    assert first[key] == second[key], key
  rows = [(w / "rows.f32").read_bytes() for w in (hit[0], tmp_path / "run")]
  assert rows[0] == rows[1]


def test_a_missing_worker_is_named(tmp_path):
  pair = Pair(tmp_path, "--peer_timeout=2", "--workdir=run", count=1)
  code, lines = pair.end(0)
  assert code == 2
  assert lines == [
    f"error: worker 1 at {pair.addresses[1]} did not come within 2 s "
    "(peer_timeout)"
  ]
  assert not (tmp_path / "run").exists()


def test_workers_that_were_asked_for_different_things(tmp_path):
  command = f'{sys.executable} {TRAIN} --epochs="$((3 + $TF_INDEX))" '
  find = "import json,os;print(json.loads(os.environ['TF_CONFIG'])"
  find += "['task']['index'])"
  shell = f'TF_INDEX=$({sys.executable} -c "{find}"); {command}'
  done = subprocess.run(
    [sys.executable, commands.LAUNCH, "--workers=2", "--", "bash", "-c", shell],
    cwd=tmp_path,
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )
  assert done.returncode == 2
  said = [line for line in done.stdout.splitlines() if "error: " in line]
  assert len(said) == 2
  assert all("the same on all workers; worker 1 has" in line for line in said)


DATA_ERROR = """
import sys
import numpy as np, tensorflow as tf
import trainloop
from support import small
strategy = trainloop.strategy_for("multi_worker", peer_timeout=60)
mine = trainloop.devices.collectives.Workers(strategy).index

def batches():
  for step in range(100):
    if mine == 1 and step == 20:
      raise OSError("disk on fire")
    yield np.ones((4, 8), "f"), np.ones(4, "i8")

spec = (tf.TensorSpec((None, 8)), tf.TensorSpec((None,), tf.int64))
data = tf.data.Dataset.from_generator(batches, output_signature=spec)
loop = small.loop(
  small.model, lambda: __import__("keras").optimizers.SGD(0.1),
  strategy=strategy, workdir="run", steps_per_loop=5, checkpoint_every="10st",
)
try:
  loop.fit(data, 5, steps_per_epoch=50)
except trainloop.PeerError as error:
  print("peer:", error, flush=True)
  sys.exit(1)
except OSError as error:
  print("own:", "disk on fire" in str(error), flush=True)
  sys.exit(1)
"""


def launch_code(code, cwd):
  """Two workers that run some Python."""
  return subprocess.run(
    [sys.executable, commands.LAUNCH, "--workers=2", "--patience=30", "--"]
    + [sys.executable, "-c", code],
    cwd=cwd,
    env={**os.environ, "PYTHONPATH": commands.PATHS},
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )


def test_one_worker_whose_data_fails_ends_both(tmp_path):
  """And the checkpoint before it stays."""
  done = launch_code(DATA_ERROR, tmp_path)
  lines = done.stdout.splitlines()
  assert done.returncode == 1, done.stdout[-2000:]
  assert "[1] own: True" in lines
  told = [line for line in lines if line.startswith("[0] peer: worker 1 at ")]
  assert len(told) == 1
  assert "it stopped (" in told[0]
  assert "disk on fire" in told[0]
  kept = sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir())
  assert len(kept) == 4  # two of them, data and index each, and no leftovers


UNLIKE_PASSES = """
import numpy as np, tensorflow as tf
import trainloop
from support import small
strategy = trainloop.strategy_for("multi_worker", peer_timeout=60)
mine = trainloop.devices.collectives.Workers(strategy).index
lengths = iter([2, 2, *([3, 4, 0], [5, 1, 2])[mine]])

def batches():
  for i in range(next(lengths)):
    yield np.full((4, 8), i, "f"), np.zeros(4, "i8")

spec = (tf.TensorSpec((None, 8)), tf.TensorSpec((None,), tf.int64))
data = tf.data.Dataset.from_generator(batches, output_signature=spec)
loop = small.loop(
  small.model, lambda: __import__("keras").optimizers.SGD(0.0),
  strategy=strategy,
)
found = loop.fit(small.data(), 3, validation=data).epochs["val_loss"]
for length, value in zip([3, 1, 0], found):
  x = np.repeat(np.arange(length), 4)[:, None] * np.ones(8, "f")
  want = -np.log(loop.model(x).numpy()[:, 0]).mean() if length else np.nan
  print(np.allclose(value, want, rtol=1e-5, equal_nan=True), flush=True)
"""


def test_a_pass_ends_for_all_workers_with_the_shortest(tmp_path):
  done = launch_code(UNLIKE_PASSES, tmp_path)
  assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
  for worker in (0, 1):
    lines = done.stdout.splitlines()
    assert lines.count(f"[{worker}] True") == 3, done.stdout[-2000:]


def test_two_workers_train_mnist_as_one(data_file, tmp_path):
  flags = [
    "--dataset=mnist",
    f"--data_path={data_file('mnist.npz')}",
    "--batch_size=250",
    "--hidden=64",
    "--epochs=2",
    "--peak_lr=0.4",
  ]
  two = launch("--workdir=two", *flags, cwd=tmp_path)
  assert two.returncode == 0, two.stdout[-2000:]
  assert "[0] " in two.stdout
  one = commands.forked("--workdir=one", *flags, cwd=tmp_path)
  assert one.returncode == 0, one.stderr[-2000:]
  results = [
    json.loads((tmp_path / name / "result.json").read_text())
    for name in ("one", "two")
  ]
  accuracies = [result["metrics"]["accuracy"] for result in results]
  assert min(accuracies) > 0.95
  assert abs(accuracies[0] - accuracies[1]) < 0.002
  for run in ("train", "validation", "plan"):
    assert len(list((tmp_path / "two" / run).iterdir())) == 1
  kept = sorted(path.name for path in (tmp_path / "two").iterdir())
  assert kept == sorted(path.name for path in (tmp_path / "one").iterdir())
  assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]
