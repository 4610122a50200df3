"""Averaged weights beside the last ones, under three schedules, on digits.

  python scripts/experiments/averages.py --seeds=10 --output=averages

Trains an MLP on scikit-learn's digits under a constant rate, 1cycle and SGDR,
each as it is, with `EMA` and, where there are cycles, with `CycleAverage`; all
of a seed have the same first weights and the same batches. Prints the accuracy
on the images that were held out, after the last update: mean, standard
deviation, and what an average adds to the run without, a pair a seed, with a
95 % interval. Writes the same as .md and .png, and each run as .csv.
"""

import os
import statistics

import parent  # noqa: F401
from absl import app, flags

from cli import cache_flag, exits, flag_rules, verbosity
from cli.light import output

FLAGS = flags.FLAGS
SCHEDULES = ("constant", "one_cycle", "sgdr")
AVERAGES = ("alone", "EMA", "cycles")
_PEAKS = {"constant": 0.05, "one_cycle": 0.2, "sgdr": 0.1}
# Student's t, 97.5 %, by degrees of freedom; beyond 30 the normal one is near.
_T = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


def define_flags():
  """Defines all flags of the script."""
  flag_rules.integer("seeds", 10, "runs of each kind [runs]", 2)
  flag_rules.integer("epochs", 21, "of a run; 3 cycles of SGDR [epochs]", 3)
  flag_rules.number("decay", 0.99, "of the moving average [factor]", 0, 0.9999)
  flags.DEFINE_string("output", "averages", "path of the files, without ending")
  cache_flag.define()
  flag_rules.show_in_help()


def kinds():
  """(schedule, average) of all that is run; only SGDR has cycles."""
  return [
    (schedule, average)
    for schedule in SCHEDULES
    for average in AVERAGES
    if average != "cycles" or schedule == "sgdr"
  ]


def accuracy(schedule, average, seed):
  """What a run comes to on the images that were held out, in percent."""
  import keras

  import kernels
  import trainloop
  from training import datasets

  data = datasets.load("digits", None, 0.2, 0, 0, "classification")
  train = trainloop.ArrayData(
    data.x_train, data.y_train, batch_size=32, seed=seed
  )
  held = trainloop.ArrayData(data.x_val, data.y_val, batch_size=1000)
  updates, peak = FLAGS.epochs * train.steps_per_epoch, _PEAKS[schedule]
  made = {
    "constant": lambda: kernels.Constant(peak),
    "one_cycle": lambda: kernels.OneCycle(peak, updates),
    "sgdr": lambda: kernels.CosineRestarts(peak, updates // 3),
  }

  averages = {
    "alone": None,
    "EMA": trainloop.EMA(FLAGS.decay),
    "cycles": trainloop.CycleAverage(),
  }
  loop = trainloop.TrainLoop(
    lambda: _model(data.x_train.shape[1:]),
    lambda: keras.optimizers.SGD(momentum=0.9),
    "sparse_categorical_crossentropy",
    metrics=["accuracy"],
    schedule=made[schedule](),
    average=averages[average],
    seed=seed,
    verbose=False,
  )
  loop.fit(train, FLAGS.epochs)
  return 100 * loop.evaluate(held)["accuracy"]


def _model(shape):
  import keras

  return keras.Sequential(
    [
      keras.layers.Input(shape),
      keras.layers.Flatten(),
      keras.layers.Dense(64, "relu"),
      keras.layers.Dense(64, "relu"),
      keras.layers.Dense(10, "softmax"),
    ]
  )


def markdown(found):
  """The table of {(schedule, average): accuracies, a seed each}."""
  lines = [
    "| schedule | weights | accuracy %, mean | s | n | against alone |",
    "|---|---|---|---|---|---|",
  ]
  for (schedule, average), values in found.items():
    mean, spread = statistics.mean(values), statistics.stdev(values)
    pairs = zip(values, found[schedule, "alone"], strict=True)
    gains = [one - alone for one, alone in pairs]
    gain = "" if average == "alone" else _interval(gains)
    cells = (
      schedule,
      average,
      f"{mean:.2f}",
      f"{spread:.2f}",
      len(values),
      gain,
    )
    lines.append(f"| {' | '.join(map(str, cells))} |")
  return "\n".join(lines)


def _interval(values):
  """Mean and 95 % interval of differences, in words."""
  mean, n = statistics.mean(values), len(values)
  t = _T[n - 2] if n - 2 < len(_T) else 2.1 if n < 31 else 1.96
  half = t * statistics.stdev(values) / n**0.5
  return f"{mean:+.2f} [{mean - half:+.2f}, {mean + half:+.2f}]"


def draw(path, found):
  """A point a run, and the mean, of each kind, into a PNG."""
  from trainloop.display import figures

  figure, (axes,) = figures.blank(["accuracy on held-out images, %"], "")
  for i, values in enumerate(found.values()):
    axes.plot([i] * len(values), values, ".", color="0.6")
    axes.plot([i - 0.2, i + 0.2], [statistics.mean(values)] * 2, color="C0")
  names = [f"{schedule}\n{average}" for schedule, average in found]
  axes.set_xticks(range(len(found)), names)
  figures.save(figure, path)


def main(argv):
  del argv
  cache_flag.check()
  with exits.worded():
    cache_flag.start()
    with verbosity.startup():
      import trainloop  # noqa: F401
    folder = os.path.dirname(FLAGS.output)
    if folder:
      os.makedirs(folder, exist_ok=True)
    found = {kind: [] for kind in kinds()}
    for seed in range(FLAGS.seeds):
      for kind, values in found.items():
        values.append(accuracy(*kind, seed))
    _write(found)


def _write(found):
  """Prints the table; writes it, each run, and the picture."""
  from trainloop.workdir import run_files

  rows = [
    f"{schedule},{average},{seed},{value:.4f}"
    for (schedule, average), values in found.items()
    for seed, value in enumerate(values)
  ]
  text = markdown(found)
  output.line(text)
  csv = "\n".join(["schedule,weights,seed,accuracy", *rows])
  for ending, content in {".md": text, ".csv": csv}.items():
    with (
      run_files.made(FLAGS.output + ending) as part,
      open(part, "w", encoding="utf-8") as file,
    ):
      file.write(f"{content}\n")
  with run_files.made(FLAGS.output + ".png") as part:
    draw(part, found)


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
