"""Flags of a run: everything that `TrainLoop` can be told, for any script.

The pattern to copy: a script defines what is its own, takes the rest from
here, and imports TensorFlow only once the flags are good.

  from absl import app, flags
  from cli import flag_rules, run_flags

  def work(strategy):
    import keras, trainloop               # quiet by now
    train, valid = ...                    # trainloop.ArrayData
    loop = trainloop.TrainLoop(
      make_model, keras.optimizers.SGD, "sparse_categorical_crossentropy",
      strategy=strategy,
      schedule=run_flags.schedule(train.steps_per_epoch, peak_lr=0.1),
      **run_flags.options(train.steps_per_epoch))
    history = run_flags.fit(loop, train, valid)

  def main(argv):
    run_flags.check()
    run_flags.run(work)

  if __name__ == "__main__":
    run_flags.define(epochs=5)
    app.run(main, flags_parser=flag_rules.parse)

It has every schedule, early stopping, plateau, engine, strategy, precision,
workdir and resume of train.py, errors in one line with an exit code, a
checkpoint on SIGTERM, and `--help` without TensorFlow. `scripts/examples/` are
six such scripts.
"""

import re
import signal

from absl import flags

from cli import (
  average_flag,
  cache_flag,
  class_weight_flag,
  device_flags,
  exits,
  flag_rules,
  hyperparameter_flags,
  interrupts,
  judging_flags,
  light,
  loop_flags,
  schedule_flags,
  schedule_makers,
  verbosity,
)

trainloop = light.Deferred("trainloop")
run_files = light.Deferred("trainloop.workdir.run_files")

FLAGS = flags.FLAGS


def define(**defaults):
  """Defines the flags; call it after a script's own, as the last one.

  Args:
    **defaults: {name of a flag: another default}.
  """
  schedule_flags.define()
  hyperparameter_flags.define()
  loop_flags.define()
  device_flags.define()
  cache_flag.define()
  judging_flags.define()
  average_flag.define()
  class_weight_flag.define()
  verbosity.define()
  for name, value in defaults.items():
    FLAGS.set_default(name, value)
  flag_rules.show_in_help()


def check():
  """Rules about several flags; ends the program with one line."""
  loop_flags.check()
  schedule_flags.check()
  hyperparameter_flags.check()
  judging_flags.check()
  device_flags.check()
  cache_flag.check()


def run(work, dry=False):
  """Starts TensorFlow, calls `work(strategy)`, and words what goes wrong.

  Args:
    work: a function of the `tf.distribute.Strategy` that the flags describe.
    dry: whether nothing will be trained.

  Raises:
    SystemExit: see `exits`.
  """
  again = "the same command goes on" if FLAGS.workdir else ""
  with exits.worded(_in_flags, again):
    # Imported here: flags are checked in 0.1 s, TensorFlow takes 4.
    cache_flag.start()
    with verbosity.startup():
      import trainloop
    strategy = device_flags.strategy(verbosity.startup(), dry)
    with trainloop.devices.peers.watched():
      work(strategy)


# Where a flag has another name than the library's argument.
_NAMES = {
  "`data_seed`": "`data_seed` (--seed)",
  "`num_examples`": "`num_examples` (--data_path, --validation_fraction)",
  "`engine`": "`engine` (--compile)",
  "`histograms_steps`": "`histograms_steps` (--histograms_every)",
  "because `existing` is 'refuse'": "because of --fresh",
  "with `existing` as 'continue'": "without --fresh --overwrite",
  "another workdir or replan": "another --workdir or --replan",
  "or another workdir": "or another --workdir",
  'existing="overwrite"': "--fresh --overwrite",
}
_PATTERNS = {
  r"`schedules\['(\w+)'\][.\w]*`": r"`--\1_schedule`",
  "`schedules`": "`schedules` (the flags --..._schedule)",
  "`groups.*?`": r"\g<0> (--group, --layer_decay)",
}


def _in_flags(error):
  """The text of an error of the library with the names of its flags."""
  text = str(error)
  for name, flag in _NAMES.items():
    text = text.replace(name, flag)
  for pattern, flag in _PATTERNS.items():
    text = re.sub(pattern, flag, text)
  return text


def schedule(steps_per_epoch, peak_lr):
  """The `kernels.Schedule` that the flags describe, for some data.

  Args:
    steps_per_epoch: batches of an epoch.
    peak_lr: highest rate unless --peak_lr says another.
  """
  peak = peak_lr if FLAGS.peak_lr is None else FLAGS.peak_lr
  steps = max(1, steps_per_epoch)
  made = schedule_makers.make(peak, steps, steps * FLAGS.epochs)
  hyperparameter_flags.check_beside(made)
  average_flag.check_cycles(made, steps * FLAGS.epochs)
  return made


def options(steps_per_epoch=None):
  """{argument of `TrainLoop`: value} of all flags but the schedule's.

  Args:
    steps_per_epoch: batches of an epoch, for what moves beside the rate.
  """
  stopping, plateau = judging_flags.make()
  return {
    "early_stopping": stopping,
    "reduce_on_plateau": plateau,
    **hyperparameter_flags.make(steps_per_epoch),
    "average": average_flag.make(),
    **loop_flags.make(),
  }


def fit(loop, train, valid=None, schedule=None, epochs=None):
  """`loop.fit` for --epochs that ends well when a signal comes.

  Args:
    loop: a `TrainLoop`.
    train, valid: an `ArrayData` or a batched `tf.data.Dataset`.
    schedule: that of this fit; None for the loop's own.
    epochs: in place of --epochs, int >= 1, where a script has several fits.

  Returns:
    The `History`.

  Raises:
    SystemExit: with 128 plus the number of a signal that came, in the last
      window too; the run is saved.
  """
  interrupts.check()
  with trainloop.StopOnSignals(loop.stop, FLAGS.grace) as caught:
    epochs = FLAGS.epochs if epochs is None else epochs
    weights = class_weight_flag.make()
    options = {"validation": valid, "class_weight": weights}
    history = loop.fit(train, epochs, schedule=schedule, **options)
  if caught.exit_code or history.stop_reason == "preempted":
    again = "the same command goes on" if FLAGS.workdir else "nothing is saved"
    text = f"stopped by a signal after {loop.global_step} steps; {again}"
    # Another worker may have had the signal.
    flag_rules.stop(text, code=caught.exit_code or 128 + signal.SIGTERM)
  return history


def save(path, write):
  """Writes a file, whole or not at all.

  Args:
    path: the file, in a folder that is there.
    write: a function of the path where to write it first.

  Raises:
    ArgumentError: if a link, or something else than a file, has its name.
  """
  with run_files.made(path) as part:
    write(part)
