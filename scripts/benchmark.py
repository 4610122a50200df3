"""How fast this loop is, beside others and beside itself.

  python scripts/benchmark.py --compare --output=compare.json
  python scripts/benchmark.py --engines --seconds=0.3 --repeats=3
  python scripts/benchmark.py --logging --validation --short_epochs --dispatch \
      --streamed --startup --steps --seconds=3

Runners of one table take turns in one process (start-up and memory: in
processes of their own), and each figure is the median of `--repeats` turns,
its least and greatest beside it. A ratio is one of medians, with the 95 %
bootstrap interval over the turns. A busy machine moves the times by a factor
of up to two, the ratios less.

"this loop" has everything on: OneCycle moving rate and momentum, the accuracy,
rows with the gradient's norm, and the guard. "bare loop" is the same model in
a hand-written compiled loop with a constant rate and nothing else. "fit,
fastest" is Keras' fit with the best of steps_per_execution 1 and 100 and
jit_compile on and off, found by a short trial. JAX, PyTorch and Orbit take
part where they can be imported. The data are random.
"""

from cli import interrupts

if __name__ == "__main__":
  interrupts.install()  # before what takes time to import

# isort: split
from absl import app, flags

from cli import exits, flag_rules, verbosity

FLAGS = flags.FLAGS
_MODES = {
  "compare": "this loop, the bare one, Keras' fit, JAX, PyTorch and Orbit",
  "engines": "both engines on every model, and what auto takes",
  "steps": "fits of several lengths: time of an update, and memory",
  "startup": "from the start of a process to its first update",
  "logging": "without a workdir, and with one at log_every 1 and 100",
  "validation": "with and without validation; evaluation alone",
  "short_epochs": "10 updates an epoch, a validation each 10 epochs",
  "dispatch": "what a window costs the host",
  "streamed": "from a tf.data.Dataset",
  "refit": "other schedules, lengths and a sweep on a loop that has trained",
}
_SMALL = "mlp_64_64_10"


def define_flags():
  """Defines all flags of the script."""
  for mode, text in _MODES.items():
    flags.DEFINE_bool(mode, False, text)
  flags.DEFINE_string("only", "", "only models whose name contains this")
  flag_rules.number(
    "seconds", 0.5, "length of one timed run [s]", open_low=True
  )
  flag_rules.integer("repeats", 5, "timed runs of each runner [runs]", 1)
  flag_rules.number(
    "patience", 30, "a runner whose shortest run takes longer is timed once [s]"
  )
  flag_rules.integer(
    "steps_per_epoch",
    0,
    "updates of an epoch [steps]; 0: as many as suit the model",
    0,
  )
  flag_rules.numbers(
    "step_counts",
    "1000,10000,100000,1000000",
    "with --steps: updates of the fits [steps]",
    kind=int,
    accept=lambda count: count > 0,
    rule="integers > 0 separated by commas",
  )
  flags.DEFINE_string("output", None, "JSON file to write; unset: none")
  flag_rules.show_in_help()


def names(mode):
  """The models of a mode: those asked for, or the mode's own."""
  from benchmarks import models

  every = list(models.MODELS)
  if FLAGS.only:
    return [name for name in every if FLAGS.only in name]
  own = {
    "compare": models.COMPARED,
    "engines": every,
    "refit": [_SMALL, "transformer_6"],
  }
  return own.get(mode, [_SMALL])


def tables(mode, name):
  """The tables of one mode on one model."""
  from benchmarks import measure, models, modes, processes

  if mode == "startup":
    return processes.startup(name, FLAGS.repeats)
  if mode == "steps":
    counts = flag_rules.read_numbers(FLAGS.step_counts, int)
    return processes.steps(
      name, counts, FLAGS.repeats, FLAGS.seconds, FLAGS.steps_per_epoch
    )
  task = models.task(name, FLAGS.steps_per_epoch)
  options = measure.Options(FLAGS.seconds, FLAGS.repeats, FLAGS.patience)
  return getattr(modes, mode)(task, options)


def main(argv):
  del argv
  modes = [mode for mode in _MODES if FLAGS[mode].value]
  if not modes:
    flag_rules.stop(f"one of --{', --'.join(_MODES)} must be given")
  flag_rules.check_output()
  with exits.worded():
    _run(modes)


def _run(modes):
  """Measures in some modes."""
  with verbosity.startup():
    from benchmarks import models, report
  if not any(FLAGS.only in name for name in models.MODELS):
    known = ", ".join(models.MODELS)
    flag_rules.stop(f"--only={FLAGS.only} is in none of {known}")
  results = report.Report(FLAGS.output, FLAGS.repeats)
  for mode in modes:
    for name in names(mode):
      for table in tables(mode, name):
        results.add(table)


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
