"""What a strategy and each further replica cost an update.

  python scripts/benchmarks/scaling.py --replicas=1,2,4 --repeats=5

The MLP 784-1024-1024-10 at a global batch of 128, SGD with momentum, metrics,
rows and guard on. Each configuration is a process of its own (there can be
one MirroredStrategy in each), started in turn `--repeats` times; a row gives
the median, the least, and the ratio of medians to the first row. "one device"
runs in TensorFlow's graph as the others do, and "XLA" as `compile="auto"`
would choose there. Replicas here are logical CPUs on the same cores: the
global batch is the same work however it is cut, so a ratio above 1 is what
cutting and all-reducing costs, and none can be below 1 for long.
"""

import parent  # noqa: F401

# isort: split
from cli import interrupts

if __name__ == "__main__":
  interrupts.install()  # before what takes time to import

# isort: split
import os
import statistics
import subprocess
import sys
import time

from absl import app, flags

from cli import exits, flag_rules, verbosity
from cli.light import output, strict_json

FLAGS = flags.FLAGS
_BATCH = 128


def define_flags():
  """Defines all flags of the script."""
  flag_rules.numbers(
    "replicas",
    "1,2,4",
    "mirrored replicas to time [replicas]",
    count=None,
    kind=int,
    accept=lambda value: value >= 1,
    rule="positive integers separated by commas",
  )
  flag_rules.integer("updates", 300, "updates of one timed fit [steps]", 1)
  flag_rules.integer(
    "repeats", 5, "processes of each configuration [processes]", 1
  )
  flags.DEFINE_string("output", None, "JSON file to write; unset: none")
  flags.DEFINE_string(
    "one", None, "used inside: time only this configuration; unset: all"
  )
  flag_rules.show_in_help()


def measure(name):
  """Microseconds an update of a configuration; in a process of its own."""
  with verbosity.startup():
    import tensorflow as tf

    import trainloop

    kind, _, count = name.partition(" ")
    count = int(count) if kind == "mirrored" else 1
    cpu = tf.config.list_physical_devices("CPU")[0]
    one = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [one] * count)
    chosen = "mirrored" if kind == "mirrored" else "one_device"
    strategy = trainloop.strategy_for(chosen)
  loop, data = _loop(kind, strategy), _data()
  loop.fit(data, 1)  # compiles
  began = time.perf_counter()
  loop.fit(data, 1)
  return 1e6 * (time.perf_counter() - began) / FLAGS.updates


def _data():
  """Random images, an epoch of --updates."""
  import numpy as np

  import trainloop

  rng = np.random.default_rng(0)
  examples = _BATCH * FLAGS.updates
  return trainloop.ArrayData(
    rng.random((examples, 784), np.float32),
    rng.integers(0, 10, examples),
    batch_size=_BATCH,
  )


def _loop(kind, strategy):
  """The loop of a configuration."""
  import keras

  import trainloop

  relu = {"activation": "relu"}
  return trainloop.TrainLoop(
    lambda: keras.Sequential(
      [
        keras.layers.Input((784,)),
        keras.layers.Dense(1024, **relu),
        keras.layers.Dense(1024, **relu),
        keras.layers.Dense(10, activation="softmax"),
      ]
    ),
    lambda: keras.optimizers.SGD(0.01, momentum=0.9),
    "sparse_categorical_crossentropy",
    metrics=["accuracy"],
    strategy=strategy,
    compile="xla" if kind == "XLA" else "graph",
    steps_per_loop=50,
    verbose=False,
  )


def time_one(name):
  """`measure` in a process of its own."""
  command = [sys.executable, os.path.abspath(__file__), f"--one={name}"]
  command.append(f"--updates={FLAGS.updates}")
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  if done.returncode:
    flag_rules.stop(f"{name}: {done.stderr.strip()[-300:]}", code=1)
  return float(done.stdout.split()[-1])


def table(times):
  """[{"case", "us", "least", "ratio", "n"}] of {case: [microseconds]}."""
  first = statistics.median(next(iter(times.values())))
  return [
    {
      "case": name,
      "us": round(statistics.median(measured)),
      "least": round(min(measured)),
      "ratio": round(statistics.median(measured) / first, 2),
      "n": len(measured),
    }
    for name, measured in times.items()
  ]


def main(argv):
  del argv
  flag_rules.check_output()
  with exits.worded():
    if FLAGS.one:
      output.line(measure(FLAGS.one))
    else:
      _compare()


def _compare():
  """Times all configurations in turns, shows and writes the table."""
  counts = flag_rules.read_numbers(FLAGS.replicas, int)
  names = ["one device", "XLA", *(f"mirrored {count}" for count in counts)]
  times = {name: [] for name in names}
  for _ in range(FLAGS.repeats):
    for name, measured in times.items():
      measured.append(time_one(name))
  rows = table(times)
  output.line(f"{'case':14}{'us/update':>10}{'least':>8}{'ratio':>7}{'n':>4}")
  for row in rows:
    cells = f"{row['us']:10}{row['least']:8}{row['ratio']:7.2f}{row['n']:4}"
    output.line(f"{row['case']:14}{cells}")
  if FLAGS.output:
    with open(FLAGS.output, "w", encoding="utf-8") as file:
      file.write(strict_json.dumps(rows, indent=2))


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
