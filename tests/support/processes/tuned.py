"""Kills a fine-tuning of moving values at random; `test_chaos.py` starts it.

  python tuned.py FOLDER KILLS SEED

The head is trained first, then all with layer decay; weight decay, beta_2 and
clipnorm move, averages are judged, the run stops early. Each child is a fork
behind TensorFlow's import that SIGKILL ends, but the last. Prints as JSON how
many kills came while a child started, in the first and in the second phase, the
updates of both phases and why they ended, and what differs from the run that
nobody killed.
"""

import json
import os
import pathlib
import random
import signal
import sys
import time

from support import commands

STEPS = (120, 480)  # of the phases, at most; the second stops early


def fit(workdir):
  """Both phases in a workdir; leaves what they did beside it."""
  from cli import light

  light.compile_cache.compile_cache()
  import keras

  import kernels
  import trainloop
  from support import small
  from trainloop.model import snapshot

  first, second = STEPS
  loop = small.loop(
    small.model(rich=True),
    keras.optimizers.AdamW(0.01),
    workdir=workdir,
    compile="xla",
    steps_per_loop=5,
    checkpoint_every="4st",
    schedule=kernels.OneCycle(0.02, first, momentum=None),
    schedules={
      "weight_decay": kernels.Cosine(0.04, second, 0.4),
      "beta_2": kernels.Linear(0.9, 0.99, second),
      "clipnorm": kernels.Cosine(1.0, second, 0.2),
    },
    groups=lambda net: trainloop.layer_decay(net, 0.5),
    average=trainloop.EMA(0.9),
    early_stopping=trainloop.EarlyStopping(
      "val_loss", patience=3, min_delta=0.005, restore="all"
    ),
  )
  histories = [
    loop.fit(small.data(), updates // 12, validation=held, **options)
    for held, updates, options in (
      (small.validation(), first, {"trainable": "dense_1/.*"}),
      (
        small.validation(),
        second,
        {"schedule": kernels.OneCycle(0.05, second, momentum=None)},
      ),
    )
  ]
  moved = snapshot.Snapshot(loop.trainee.moved()).take()
  end = {
    "moved": small.digest(moved.values()),
    "rows": [small.digest(h.rows.values()) for h in histories],
    "epochs": [str(h.epochs) for h in histories],
    "reasons": [h.stop_reason for h in histories],
    "updates": [len(h.rows["loss"]) for h in histories],
  }
  pathlib.Path(f"{workdir}.json").write_text(json.dumps(end))


def left(workdir):
  """What a run left, {part: ...}; leaves it beside its end."""
  from kills import runs

  end = pathlib.Path(f"{workdir}.json")
  journal = pathlib.Path(workdir, "rows.f32").read_bytes()
  parts = {
    **json.loads(end.read_text()),
    "journal": journal.hex(),
    "tensors": runs.tensors(workdir),
    "series": runs.series(workdir),
    "orphans": runs.orphans(workdir),
  }
  end.write_text(json.dumps(parts))


class Session:
  """A run that nobody kills, and one that is killed.

  Args:
    folder: of the workdirs.
    seed: of the moments.
  """

  def __init__(self, folder, seed):
    self._folder, self._dice = folder, random.Random(seed)
    self._log = os.path.join(folder, "log.txt")
    self.kills = dict.fromkeys(("at the start", "frozen", "freed"), 0)

  def ended(self, name):
    """Brings a run to its end; all that it left."""
    workdir = os.path.join(self._folder, name)
    for function in (fit, left):
      self._wait(self._start(function, workdir), 0)
    return json.loads(pathlib.Path(f"{workdir}.json").read_text())

  def killed(self, name, kills, want):
    """The same of a run that is killed so many times first.

    Args:
      name: of the run.
      kills: how many; every fourth one while the child starts, the others all
        over the run.
      want: what the run that nobody killed left.
    """
    updates = sum(want["updates"])
    row = len(bytes.fromhex(want["journal"])) // updates
    for i in range(kills):
      part = (i + self._dice.random()) / kills
      rows = 0 if i % 4 == 1 else 1 + int(part * 0.8 * updates)
      phase = "freed" if rows > STEPS[0] else "frozen"
      self._kill(
        os.path.join(self._folder, name),
        rows * row,
        phase if rows else "at the start",
      )
    return self.ended(name)

  def _kill(self, workdir, size, phase):
    """Starts a run, which dies behind so many bytes of rows, or at once."""
    child = self._start(fit, workdir)
    while size and journal(workdir) < size and not is_dead(child):
      time.sleep(0.0005)
    time.sleep(self._dice.uniform(0, 0.03 if size else 2.0))
    os.kill(child, signal.SIGKILL)
    self._wait(child, -signal.SIGKILL)
    self.kills[phase] += 1

  def _start(self, function, workdir):
    from kills import runs

    return runs.fork(lambda: function(workdir), self._log)

  def _wait(self, child, code):
    from kills import runs

    ended = runs.wait(child)
    if ended != code:
      said = pathlib.Path(self._log).read_text()
      raise RuntimeError(f"{ended}, not {code}: {said[-3000:]}")


def journal(workdir):
  """Bytes of the rows that are written."""
  path = os.path.join(workdir, "rows.f32")
  return os.path.getsize(path) if os.path.exists(path) else 0


def is_dead(child):
  """Whether a child has ended; leaves it to be waited for."""
  options = os.WEXITED | os.WNOHANG | os.WNOWAIT
  return os.waitid(os.P_PID, child, options) is not None


def main(folder, kills, seed):
  sys.path.insert(1, str(commands.ROOT / "scripts"))
  import train  # noqa: F401
  from training import job  # noqa: F401

  session = Session(folder, int(seed))
  want = session.ended("whole")
  got = session.killed("killed", int(kills), want)
  tally = {
    "kills": session.kills,
    "updates": want["updates"],
    "reasons": want["reasons"],
    "differ": [part for part in want if got[part] != want[part]],
    "orphans": got["orphans"],
  }
  print(json.dumps(tally))


if __name__ == "__main__":
  main(*sys.argv[1:])
