"""What checkpoints cost: a large state, and a resume far from the start.

  python scripts/benchmarks/saves.py --megabytes=500

Prints how long a save is written, how much longer the loop takes while it is,
and how long a fit that goes on at step 0 and at step 10^6 takes to begin.
"""

import parent  # noqa: F401

# isort: split
from cli import interrupts

if __name__ == "__main__":
  interrupts.install()  # before what takes time to import

# isort: split
import statistics
import tempfile
import time

from absl import app, flags

from cli import flag_rules, verbosity
from cli.light import output

FLAGS = flags.FLAGS


def define_flags():
  """Defines all flags of the script."""
  flag_rules.integer("megabytes", 500, "size of weights and slots [MB]", 1)
  flag_rules.integer(
    "repeats", 3, "saves of which the median counts [saves]", 1
  )
  flag_rules.show_in_help()


def stalls(megabytes, repeats):
  """[(seconds a save is written, seconds the loop stood still for it)].

  Standing still is the call of the save, and what the update after it takes
  longer than the others: it makes new memory for what the save still holds.
  """
  import keras
  import numpy as np

  import trainloop
  from trainloop.fit.pipeline import Fit
  from trainloop.workdir.checkpoints.saver import Saver

  width = int((megabytes * 2**20 / 4 / 2) ** 0.5)  # weights and velocity
  keras.utils.set_random_seed(0)
  model = keras.Sequential(
    [keras.layers.Input((width,)), keras.layers.Dense(width, use_bias=False)]
  )
  x = np.ones((64, width), np.float32)
  data = trainloop.ArrayData(x, x, batch_size=4)
  written, called, updates = {}, {}, {}
  kept = Saver._commit, Saver.save, Fit._window

  def commit(self, step, *values):
    written[step] = _timed(kept[0], self, step, *values)

  def save(self, step, *values):
    self.wait()  # not counted: a save waits for the one before
    called[step] = _timed(kept[1], self, step, *values)

  def window(self, step, source):
    updates[step] = _timed(kept[2], self, step, source)
    return step + 1

  Saver._commit, Saver.save, Fit._window = commit, save, window
  with tempfile.TemporaryDirectory() as folder:
    trainloop.TrainLoop(
      model,
      keras.optimizers.SGD(1e-6, momentum=0.9),
      "mse",
      workdir=folder,
      checkpoint_every="16st",
      steps_per_loop=1,
      verbose=False,
    ).fit(data, epochs=repeats + 1)
  Saver._commit, Saver.save, Fit._window = kept
  usual = statistics.median(updates.values())
  # Without the first, at whose update all is compiled, and the last.
  return [
    (written[step], called[step] + max(0.0, updates[step] - usual))
    for step in sorted(written)[1:-1]
  ]


def _timed(function, *values):
  began = time.perf_counter()
  function(*values)
  return time.perf_counter() - began


def resume_seconds(step):
  """Seconds from calling fit to its first update, for a fit that goes on.

  The run is put to the step without the updates before it.
  """
  import keras
  import numpy as np

  import trainloop
  from trainloop.fit.pipeline import Fit

  x = np.ones((64, 8), np.float32)
  data, window = trainloop.ArrayData(x, x[:, :1], batch_size=8), Fit._window
  times = []

  def begin(folder):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(1)])
    loop = trainloop.TrainLoop(
      model,
      keras.optimizers.SGD(1e-4),
      "mse",
      workdir=folder,
      steps_per_loop=2,
      verbose=False,
    )
    loop.evaluate(data)  # builds the state

    def notes(self, at, source):
      times.append(time.perf_counter())
      loop.stop()
      return window(self, at, source)

    Fit._window = notes
    return loop

  with tempfile.TemporaryDirectory() as folder:
    first = begin(folder)
    first.trainee.state.global_step.assign(step)
    first.fit(data, 4)
    again = begin(folder)
    began = time.perf_counter()
    again.fit(data, 4)
    Fit._window = window
  return times[1] - began, again.resumed_from[0]


def main(argv):
  del argv
  with verbosity.startup():
    import trainloop  # noqa: F401
  found = stalls(FLAGS.megabytes, FLAGS.repeats)
  columns = zip(*found, strict=True)
  written, stood = (statistics.median(column) for column in columns)
  share = 100 * stood / written
  output.line(
    f"{FLAGS.megabytes} MB: written in {written:.2f} s; "
    f"the loop stood still for {stood:.3f} s, {share:.1f} % of it"
  )
  for step in (0, 10**6):
    seconds, at = resume_seconds(step)
    output.line(f"resume at step {at}: {seconds:.2f} s until its first update")


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
