"""How fast this loop is, beside others and beside itself.

  python scripts/benchmark.py --compare --output=compare.json
  python scripts/benchmark.py --engines --seconds=0.3 --repeats=3
  python scripts/benchmark.py --logging --validation --short_epochs --dispatch \
      --streamed --startup --steps --seconds=3
  python scripts/benchmark.py --zoo --only=vit,lstm --seconds=3 --repeats=3 \
      --output=zoo.csv

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
from cli.light import output

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
  "zoo": "models that people train: speed, start and memory beside fit's",
}
_PARTS = ("steady", "start", "memory")
_SMALL = "mlp_64_64_10"


def define_flags():
  """Defines all flags of the script."""
  for mode, text in _MODES.items():
    flags.DEFINE_bool(mode, False, text)
  flags.DEFINE_string(
    "only", "", "only models whose name contains one of these, by commas"
  )
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
  _define_zoo()
  flags.DEFINE_string(
    "output", None, "file to write, JSON, or CSV if it ends so; unset: none"
  )
  flag_rules.show_in_help()


def _define_zoo():
  """Those that --zoo alone reads."""
  flag_rules.names(
    "parts",
    ",".join(_PARTS),
    "with --zoo: what is measured: updates, processes, their memory",
    _PARTS,
  )
  flag_rules.integer(
    "updates",
    0,
    "with --zoo: updates that a process is started for [steps]; 0: as many as "
    "suit the model",
    0,
  )
  flags.DEFINE_bool(
    "jit", False, "with --zoo: fit with jit_compile=True takes part, too"
  )


def names(mode):
  """The models of a mode: those asked for, or the mode's own."""
  from benchmarks import models, zoo_models

  every = list(zoo_models.MODELS if mode == "zoo" else models.MODELS)
  if FLAGS.only:
    parts = flag_rules.split(FLAGS.only)
    return [name for name in every if any(part in name for part in parts)]
  own = {
    "compare": models.COMPARED,
    "engines": every,
    "refit": [_SMALL, "transformer_6"],
    "zoo": every,
  }
  return own.get(mode, [_SMALL])


def tables(mode, name):
  """The tables of one mode on one model."""
  from benchmarks import measure, models, modes, processes, zoo

  if mode == "startup":
    return processes.startup(name, FLAGS.repeats)
  if mode == "steps":
    counts = flag_rules.read_numbers(FLAGS.step_counts, int)
    return processes.steps(
      name, counts, FLAGS.repeats, FLAGS.seconds, FLAGS.steps_per_epoch
    )
  options = measure.Options(FLAGS.seconds, FLAGS.repeats, FLAGS.patience)
  if mode == "zoo":
    parts = flag_rules.split(FLAGS.parts)
    return zoo.tables(name, options, parts, FLAGS.updates, FLAGS.jit)
  task = models.task(name, FLAGS.steps_per_epoch)
  return getattr(modes, mode)(task, options)


def main(argv):
  del argv
  modes = [mode for mode in _MODES if FLAGS[mode].value]
  if not modes:
    flag_rules.stop(f"one of --{', --'.join(_MODES)} must be given")
  if not FLAGS.parts:
    flag_rules.stop(f"--parts must name some of {', '.join(_PARTS)}")
  flag_rules.check_output()
  with exits.worded():
    _run(modes)


def _run(modes):
  """Measures in some modes."""
  with verbosity.startup():
    from benchmarks import models, report, zoo, zoo_models  # noqa: F401
  for mode in modes:
    if not names(mode):
      rule = f"part of a model's name; got {FLAGS.only!r}"
      flag_rules.stop(f"--only must be, with --{mode}, {rule}")
  results = report.Report(FLAGS.output, FLAGS.repeats)
  for mode in modes:
    made = []
    for name in names(mode):
      for table in tables(mode, name):
        results.add(table)
        made.append(table)
    if mode == "zoo":
      output.line("\nthis loop over the better of fit's two settings")
      report.show(zoo.overview(made))


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
