"""Runs published experiments again and compares the figures.

  python scripts/reproduce.py --experiment=imdb_sgdr --data_dir=../shared/data

Runs several seeds of an experiment, prints a table of published against
measured figures (mean and spread), and writes it as Markdown, JSON and PNG
below --output. Seeds that the JSON there holds already are not run again.
--quick takes a small part of the data: whether it runs, not what it reaches.
"""

from cli import interrupts

if __name__ == "__main__":
  interrupts.install()  # before what takes time to import

# isort: split
import os

from absl import app, flags

from cli import cache_flag, exits, flag_rules, verbosity
from cli.light import output

FLAGS = flags.FLAGS
# Known here so that a wrong name is refused before TensorFlow is imported.
NAMES = (
  "imdb_constant",
  "imdb_sgdr_2x2",
  "imdb_sgdr_1x2",
  "imdb_autofit",
  "imdb_one_cycle",
  "ionosphere_time_based_update",
  "ionosphere_time_based_epoch",
  "ionosphere_step_drop",
  "mnist_constant",
  "mnist_sgdr",
  "mnist_range_test",
)


def define_flags():
  """Defines all flags of the script."""
  flags.DEFINE_enum(
    "experiment",
    None,
    (*NAMES, "all"),
    "which to run; unset: an error that names them",
  )
  flags.mark_flag_as_required("experiment")
  flags.DEFINE_string("data_dir", "../shared/data", "folder of the data files")
  flag_rules.integer(
    "seeds", None, "runs of it [runs]; unset: the experiment's own number", 1
  )
  flag_rules.integer(
    "first_seed", 0, "seed of the first run [any integer]", 0, 2**31
  )
  flags.DEFINE_bool("quick", False, "a small part of the data, two epochs")
  flags.DEFINE_string("output", "runs/reproduce", "folder for the results")
  cache_flag.define()
  flag_rules.show_in_help()


def main(argv):
  del argv
  cache_flag.check()
  if not os.path.isdir(FLAGS.data_dir):
    flag_rules.stop(f"--data_dir={FLAGS.data_dir} is not a folder")
  names = NAMES if FLAGS.experiment == "all" else (FLAGS.experiment,)
  with exits.worded(again="the same command goes on"):
    cache_flag.start()
    with verbosity.startup():
      import tensorflow as tf

      from experiments import registry

      tf.config.list_logical_devices()
    os.makedirs(FLAGS.output, exist_ok=True)
    for name in names:
      _run(name, registry.EXPERIMENTS[name])


def _run(name, experiment):
  """Runs the seeds that are missing, and writes the experiment's files."""
  from experiments import report

  path = os.path.join(FLAGS.output, name + ("_quick" * FLAGS.quick) + ".json")
  results = report.read(path, name, experiment, FLAGS.quick)
  seeds = experiment.seeds if FLAGS.seeds is None else FLAGS.seeds
  for seed in range(FLAGS.first_seed, FLAGS.first_seed + seeds):
    if str(seed) not in results["runs"]:
      output.line(f"{name}, seed {seed}")
      results["runs"][str(seed)] = report.run(
        experiment, seed, FLAGS.data_dir, FLAGS.quick
      )
      report.write_json(path, results)
  text = report.markdown(results)
  output.line(text)
  report.write(path, results, text)
  output.line(f"wrote {path} and the same as .md and .png")


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
