"""What checkpoints cost: a large state, and a resume far from the start.

  python scripts/benchmarks/saves.py --megabytes=500

Prints how long a save is written, how much longer the loop takes while it is,
and how long a fit that goes on takes to begin: after one window, after 10^6
updates.
"""

import parent  # noqa: F401

# isort: split
from cli import interrupts

if __name__ == "__main__":
  interrupts.install()  # before what takes time to import

# isort: split
import os
import statistics
import tempfile
import time

from absl import app, flags

from cli import exits, flag_rules, verbosity
from cli.light import output

FLAGS = flags.FLAGS
_EVERY = 16  # updates from one save to the next
_FAR = 10**6  # updates before the later resume


def define_flags():
  """Defines all flags of the script."""
  flag_rules.integer("megabytes", 500, "size of weights and slots [MB]", 1)
  flag_rules.integer(
    "repeats", 3, "saves of which the median counts [saves]", 1
  )
  flag_rules.show_in_help()


class _Clock:
  """What an update takes, and when a save is on the disk; an `on_window`.

  Attributes:
    updates: {updates done: seconds that the last one took, with what the host
      did before it}.
    begun, written: {updates done: wall time at which the update before a save
      began, and at which the save had its name}.
  """

  def __init__(self, workdir):
    self._folder = os.path.join(workdir, "checkpoints")
    self.updates, self.begun, self.written = {}, {}, {}
    self._last = time.time()

  def __call__(self, row):
    done, now = len(self.updates) + 1, time.time()
    self.updates[done] = now - self._last
    if not done % _EVERY:
      self.begun[done] = self._last
    save = done - 2
    if save in self.begun:  # so that no save waits for the one before
      while any(n.startswith("part") for n in os.listdir(self._folder)):
        time.sleep(0.01)
      self.written[save] = max(
        os.stat(os.path.join(self._folder, name)).st_ctime
        for name in os.listdir(self._folder)
        if name.endswith(".index")
      )
    self._last = time.time()

  def stalls(self):
    """[(seconds a save is written, seconds the loop stood still for it)]."""
    usual = statistics.median(self.updates.values())
    return [
      (
        self.written[save] - self.begun[save] - usual,
        max(0.0, self.updates[save] + self.updates[save + 1] - 2 * usual),
      )
      for save in sorted(self.written)
    ]


def stalls(megabytes, repeats):
  """[(seconds a save is written, seconds the loop stood still for it)].

  Standing still is what the updates before and after a save take longer than
  the others: the later one makes new memory for what the save still holds.
  """
  import keras
  import numpy as np

  import trainloop

  width = int((megabytes * 2**20 / 4 / 2) ** 0.5)  # weights and velocity
  keras.utils.set_random_seed(0)
  layers = keras.layers
  x = np.ones((4 * _EVERY, width), np.float32)
  with tempfile.TemporaryDirectory() as workdir:
    clock = _Clock(workdir)
    trainloop.TrainLoop(
      keras.Sequential(
        [layers.Input((width,)), layers.Dense(width, use_bias=False)]
      ),
      keras.optimizers.SGD(1e-6, momentum=0.9),
      "mse",
      workdir=workdir,
      checkpoint_every=f"{_EVERY}st",
      steps_per_loop=1,
      on_window=clock,
      verbose=False,
    ).fit(trainloop.ArrayData(x, x, batch_size=4), epochs=repeats + 1)
  return clock.stalls()


def resume_seconds(updates):
  """(seconds from calling fit until its first update, updates done before).

  Args:
    updates: of the run that another goes on from, at least.
  """
  import keras

  class Begin(keras.callbacks.Callback):
    """Ends a fit where it begins, and knows when that was."""

    def on_epoch_begin(self, epoch, logs=None):
      del epoch, logs
      self.time = time.perf_counter()
      again.stop()

  with tempfile.TemporaryDirectory() as workdir:
    data = _toy_data()
    epochs = updates // data.steps_per_epoch + 2
    first = _toy_loop(
      workdir,
      on_window=lambda row: first.stop() if row["step"] >= updates else None,
    )
    first.fit(data, epochs)
    begin = Begin()
    again = _toy_loop(workdir, callbacks=[begin])
    again.evaluate(data)  # builds the state
    called = time.perf_counter()
    again.fit(data, epochs)
  return begin.time - called, again.resumed_from[0]


def _toy_data():
  """A thousand batches of eight examples."""
  import numpy as np

  import trainloop

  x = np.ones((8000, 8), np.float32)
  return trainloop.ArrayData(x, x[:, :1], batch_size=8)


def _toy_loop(workdir, **options):
  """A loop on `_toy_data`."""
  import keras

  import trainloop

  keras.utils.set_random_seed(0)
  return trainloop.TrainLoop(
    keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(1)]),
    keras.optimizers.SGD(1e-4),
    "mse",
    workdir=workdir,
    checkpoint_every="100%",
    log_every=1000,
    verbose=False,
    **options,
  )


def main(argv):
  del argv
  with exits.worded():
    with verbosity.startup():
      import trainloop  # noqa: F401
    columns = zip(*stalls(FLAGS.megabytes, FLAGS.repeats), strict=True)
    written, stood = (statistics.median(column) for column in columns)
    share = 100 * stood / written
    output.line(
      f"{FLAGS.megabytes} MB: written in {written:.2f} s; "
      f"the loop stood still for {stood:.3f} s, {share:.1f} % of it"
    )
    for updates in (0, _FAR):
      seconds, at = resume_seconds(updates)
      output.line(
        f"resume at step {at}: {seconds:.2f} s until its first update"
      )


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
