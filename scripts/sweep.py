"""Learning-rate range sweep: what rates a model can be trained with.

  python scripts/sweep.py --dataset=mnist --data_path=mnist.npz --model=cnn \\
      --batch_size=250 --compare=sgd,adam --min_lr=1e-4 --max_lr=1 --steps=1ep

Prints fastai's four suggestions, the rate of the fastest fall, and the range
for a cyclical schedule; writes sweep.png, sweep.csv and a TensorBoard run an
optimizer into --workdir. Takes the data and model flags of train.py.
"""

from cli import interrupts

if __name__ == "__main__":
  interrupts.install()  # before what takes time to import

# isort: split
from absl import app, flags

import train
from cli import cache_flag, device_flags, exits, flag_rules, verbosity
from cli.light import output

FLAGS = flags.FLAGS


def define_flags():
  """Defines all flags of the script."""
  train.define_data_flags()
  train.define_model_flags()
  flag_rules.names(
    "compare", "", "optimizers to sweep in place of --optimizer", train.PEAKS
  )
  flag_rules.number("min_lr", 1e-7, "first learning rate [rate]", open_low=True)
  flag_rules.number("max_lr", 10.0, "last learning rate [rate]", open_low=True)
  flag_rules.duration("steps", "100st", "length, as 100st or 1ep")
  spacings = ("exponential", "linear")
  flags.DEFINE_enum("spacing", "exponential", spacings, "how the rate rises")
  places = ("train", "validation")
  flags.DEFINE_enum(
    "on",
    "train",
    places,
    "whose loss counts: of the training batch, or of a validation batch",
  )
  flag_rules.number(
    "smoothing", 0.98, "beta of the smoothed losses [fraction]", high=0.9999
  )
  flag_rules.number(
    "divergence",
    4.0,
    "end at a loss above the least smoothed one times this [factor]; 0: never",
  )
  flags.DEFINE_enum(
    "compile",
    "auto",
    ("auto", "xla", "graph"),
    "engine that compiles the updates; auto: by a rule",
  )
  device_flags.define()
  cache_flag.define()
  flag_rules.integer(
    "seed", 0, "of weights and data order [any integer]", 0, 2**32 - 1
  )
  flags.DEFINE_string("workdir", None, "folder for the files; unset: none")
  flag_rules.show_in_help()


def check_flags():
  """Rules about several flags, before TensorFlow is imported."""
  train.check_data_and_model()
  device_flags.check()
  cache_flag.check()
  if FLAGS.compare and FLAGS["optimizer"].present:
    flag_rules.stop("--optimizer has no effect with --compare")
  if FLAGS.min_lr >= FLAGS.max_lr:
    rule = f"be above --min_lr={FLAGS.min_lr}"
    flag_rules.stop(f"--max_lr must {rule}; got {FLAGS.max_lr}")
  if 0 < FLAGS.divergence <= 1:
    flag_rules.stop(f"--divergence must be 0 or > 1; got {FLAGS.divergence}")


def main(argv):
  del argv
  check_flags()
  with exits.worded():
    _run()


def _run():
  """Sweeps, shows and writes."""
  cache_flag.start()
  with verbosity.startup():
    import trainloop
    from trainloop.devices import collectives
    from trainloop.sweep import report
  names = flag_rules.split(FLAGS.compare) or [FLAGS.optimizer]
  if FLAGS.workdir is not None:
    report.check(FLAGS.workdir, names)
  strategy = device_flags.strategy(verbosity.startup())
  with trainloop.devices.peers.watched():
    sweeps = _sweep(names, strategy)
  if not collectives.Workers(strategy).is_chief:
    return
  output.line(_table(sweeps))
  if FLAGS.workdir is not None:
    report.save(FLAGS.workdir, sweeps)
    output.line(f"wrote sweep.png, sweep.csv and events to {FLAGS.workdir}")


def _sweep(optimizers, strategy):
  """{optimizer: Sweep}."""
  import trainloop
  from training import job

  data = job.load(FLAGS)
  source = trainloop.ArrayData(
    data.x_train, data.y_train, batch_size=FLAGS.batch_size, seed=FLAGS.seed
  )
  valid = None
  if FLAGS.on == "validation":
    size = min(FLAGS.batch_size, len(data.x_val))
    valid = trainloop.ArrayData(data.x_val, data.y_val, batch_size=size)
  loops = {
    name: trainloop.TrainLoop(
      job.model_maker(FLAGS, data),
      lambda name=name: job.optimizer(FLAGS, name, train.PEAKS[name], data),
      data.loss,
      metrics=job.metrics(data),
      strategy=strategy,
      compile=FLAGS.compile,
      bias_correction=FLAGS.bias_correction,
      seed=FLAGS.seed,
    )
    for name in optimizers
  }
  return trainloop.compare_learning_rates(
    loops,
    source,
    min_lr=FLAGS.min_lr,
    max_lr=FLAGS.max_lr,
    steps=FLAGS.steps,
    spacing=FLAGS.spacing,
    on=FLAGS.on,
    validation=valid,
    smoothing=FLAGS.smoothing,
    divergence=FLAGS.divergence or None,
  )


def _table(sweeps):
  """The suggestions, a line a sweep."""
  names = ("valley", "slide", "steep", "minimum")
  head = ("", "updates", *names, "fastest", "range from", "to")
  lines = ["".join(f"{cell:>11}" for cell in head)]
  for name, sweep in sweeps.items():
    rates = [
      *(sweep.suggestions[n] for n in names),
      sweep.best_lr,
      *sweep.lr_range,
    ]
    end = "!" if sweep.diverged else " "
    count = f"{len(sweep.losses)}{end}"
    cells = "".join(f"{rate:>11.3g}" for rate in rates)
    lines.append(f"{name:>11}{count:>11}{cells}")
  if any(sweep.diverged for sweep in sweeps.values()):
    lines.append(f"{'':>11}! ended where the loss diverged")
  return "\n".join(lines)


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
