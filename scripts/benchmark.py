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

from absl import app, flags

from cli import flag_rules, verbosity

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
  from benchmarks import models as benchmark_models

  every = list(benchmark_models.MODELS)
  if FLAGS.only:
    return [name for name in every if FLAGS.only in name]
  own = {"compare": benchmark_models.COMPARED, "engines": every}
  return own.get(mode, [_SMALL])


def tables(mode, name):
  """The tables of one mode on one model."""
  from benchmarks import measure as benchmark_measure
  from benchmarks import models as benchmark_models
  from benchmarks import modes as benchmark_modes
  from benchmarks import processes as benchmark_processes

  if mode == "startup":
    return benchmark_processes.startup(name, FLAGS.repeats)
  if mode == "steps":
    counts = flag_rules.read_numbers(FLAGS.step_counts, int)
    return benchmark_processes.steps(
      name, counts, FLAGS.repeats, FLAGS.seconds, FLAGS.steps_per_epoch
    )
  task = benchmark_models.task(name, FLAGS.steps_per_epoch)
  options = benchmark_measure.Options(
    FLAGS.seconds, FLAGS.repeats, FLAGS.patience
  )
  return getattr(benchmark_modes, mode)(task, options)


def main(argv):
  del argv
  asked = [mode for mode in _MODES if FLAGS[mode].value]
  if not asked:
    flag_rules.stop(f"one of --{', --'.join(_MODES)} must be given")
  flag_rules.check_output()
  with verbosity.startup():
    from benchmarks import models as benchmark_models
  if not any(FLAGS.only in name for name in benchmark_models.MODELS):
    known = ", ".join(benchmark_models.MODELS)
    flag_rules.stop(f"--only={FLAGS.only} is in none of {known}")
  from benchmarks import report as benchmark_report
  from kernels import checks

  try:
    report = benchmark_report.Report(FLAGS.output, FLAGS.repeats)
  except checks.ArgumentError as error:
    flag_rules.stop(error)
  for mode in asked:
    for name in names(mode):
      for table in tables(mode, name):
        report.add(table)


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
