"""Flags of a run: everything that `TrainLoop` can be told, for any script.

The pattern to copy: a script defines what is its own, takes the rest from
here, and imports TensorFlow only once the flags are good.

  from absl import app, flags
  import flag_rules
  import run_flags

  def work(strategy):
    import keras, trainloop               # quiet by now
    train, valid = ...                    # trainloop.ArrayData
    loop = trainloop.TrainLoop(
      make_model, keras.optimizers.SGD, "sparse_categorical_crossentropy",
      strategy=strategy,
      schedule=run_flags.schedule(train.steps_per_epoch, peak_lr=0.1),
      **run_flags.options())
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
five such scripts.
"""

import signal

from absl import flags, logging

import device_flags
import flag_rules
import judging_flags
import quiet
import schedule_flags
from csv_table import DataError

FLAGS = flags.FLAGS
_IN_WORKDIR = (
  "fresh",
  "replan",
  "keep",
  "checkpoint_every",
  "histograms_every",
  "profile",
  "log_graph",
)
# Flags that say where a run is, not what it is.
_ABOUT_FILES = (
  "workdir",
  "dry_run",
  "export",
  "fresh",
  "overwrite",
  "replan",
  "grace",
)


def define(**defaults):
  """Defines the flags; call it after a script's own, as the last one.

  Args:
    **defaults: {name of a flag: another default}.
  """
  schedule_flags.define()
  _define_length_and_engine()
  device_flags.define()
  _define_numbers()
  _define_workdir()
  judging_flags.define()
  for name, value in defaults.items():
    FLAGS.set_default(name, value)
  flag_rules.show_in_help()


def _define_length_and_engine():
  flag_rules.integer("epochs", 20, "passes over the training data", 1)
  flags.DEFINE_string("steps_per_loop", "auto", "updates of a call, or auto")
  engines = ("auto", "measure", "xla", "graph")
  flags.DEFINE_enum("compile", "auto", engines, "engine; auto: by a rule")

  def accept(value):
    if value == "auto" or (value.isdecimal() and int(value) >= 1):
      return True
    rule = "auto or an integer >= 1"
    raise flags.ValidationError(f"must be {rule}; got {value!r}")

  flags.register_validator("steps_per_loop", accept)


def _define_numbers():
  flags.DEFINE_enum(
    "mixed_precision",
    "none",
    ("none", "bfloat16", "float16"),
    "what layers compute in; weights stay float32, float16 scales the loss",
  )
  flag_rules.integer(
    "accumulate", 1, "micro-batches that --batch_size is computed in", 1
  )
  flags.DEFINE_enum(
    "on_nonfinite",
    "raise",
    ("raise", "skip", "rewind"),
    "after an update that is not finite: end, pass over it, or go back to the "
    "last checkpoint with smaller learning rates",
  )
  flag_rules.number(
    "rewind_factor", 0.5, "rewind: learning rates x this", 0, 1, open_low=True
  )
  flag_rules.integer("rewind_limit", 3, "rewind: how often", 1)
  flag_rules.integer(
    "seed", 0, "of weights, data order and dropout", 0, 2**32 - 1
  )
  flag_rules.number(
    "resident_mb",
    None,
    "MB of data that may stand on the device (a quarter of its free memory)",
    open_low=True,
  )
  flag_rules.number(
    "staging_mb",
    256.0,
    "MB for the batches of windows when the data is larger",
    open_low=True,
  )


def _define_workdir():
  flag_rules.duration("validate_every", "1ep", "time between validations")
  flag_rules.duration("checkpoint_every", "1ep", "time between checkpoints")
  flag_rules.integer("keep", 2, "checkpoints that stay", 1)
  flag_rules.number(
    "grace", 10.0, "seconds to save in after SIGTERM or SIGINT", open_low=True
  )
  flag_rules.integer("log_every", 1, "steps between logged rows", 1)
  flag_rules.duration(
    "histograms_every", None, "time between histograms of weights, gradients"
  )
  flag_rules.steps_range("profile", "steps to profile, as 100:120")
  flags.DEFINE_bool("log_graph", False, "show the model's graph")
  flags.DEFINE_string(
    "workdir", None, "the run's folder; unset: writes nothing"
  )
  flags.DEFINE_bool("fresh", False, "refuse a workdir that holds a run")
  flags.DEFINE_bool("overwrite", False, "fresh: remove the run instead")
  flags.DEFINE_bool(
    "replan", False, "go on with a changed schedule or number of epochs"
  )


def check():
  """Rules about several flags; ends the program with one line."""
  if FLAGS.workdir == "":
    flag_rules.stop("--workdir must be a folder's path; got ''")
  for name in _IN_WORKDIR:
    if FLAGS[name].present and FLAGS.workdir is None:
      flag_rules.stop(f"--{name} needs --workdir")
  if FLAGS.overwrite and not FLAGS.fresh:
    flag_rules.stop("--overwrite needs --fresh")
  if FLAGS.replan and FLAGS.fresh:
    flag_rules.stop("--replan goes on with a run: it has no --fresh")
  if FLAGS.on_nonfinite == "rewind" and FLAGS.workdir is None:
    flag_rules.stop("--on_nonfinite=rewind needs --workdir")
  for name in ("rewind_factor", "rewind_limit"):
    if FLAGS[name].present and FLAGS.on_nonfinite != "rewind":
      choice = f"--on_nonfinite={FLAGS.on_nonfinite}"
      flag_rules.stop(f"--{name} has no effect with {choice}")
  schedule_flags.check()
  judging_flags.check()
  device_flags.check()


def run(work, dry=False):
  """Starts TensorFlow, calls `work(strategy)`, and words what goes wrong.

  Exit codes: 2 if a flag or the data does not fit, 1 if the run fails, 130
  after an interrupt that came before the run's own handling of it.

  Args:
    work: a function of the `tf.distribute.Strategy` that the flags describe.
    dry: whether nothing will be trained.
  """
  if not FLAGS["verbosity"].present:
    logging.set_verbosity(logging.ERROR)
  # Imported here: flags are checked in 0.1 s, TensorFlow takes 4.
  with quiet.startup():
    import trainloop
    from kernels import checks

  try:
    strategy = device_flags.strategy(quiet.startup(), dry)
    with trainloop.peers.watched():
      work(strategy)
  except (checks.ArgumentError, DataError) as error:
    flag_rules.stop(error)
  except trainloop.MissingPeerError as error:
    flag_rules.stop(error)
  except (trainloop.PeerError, trainloop.NonFiniteError, OSError) as error:
    flag_rules.stop(error, code=1)
  except KeyboardInterrupt:
    again = "; the same command goes on" if FLAGS.workdir else ""
    flag_rules.stop(f"interrupted{again}", code=130)


def schedule(steps_per_epoch, peak_lr):
  """The `kernels.Schedule` that the flags describe, for some data.

  Args:
    steps_per_epoch: batches of an epoch.
    peak_lr: highest rate unless --peak_lr says another.
  """
  import schedule_makers

  peak = peak_lr if FLAGS.peak_lr is None else FLAGS.peak_lr
  steps = max(1, steps_per_epoch)
  return schedule_makers.make(peak, steps, steps * FLAGS.epochs)


def options():
  """{argument of `TrainLoop`: value} of all flags but the schedule's."""
  stopping, plateau = judging_flags.make()
  pace, precision = FLAGS.steps_per_loop, FLAGS.mixed_precision
  return {
    "workdir": FLAGS.workdir,
    "steps_per_loop": pace if pace == "auto" else int(pace),
    "compile": FLAGS.compile,
    "early_stopping": stopping,
    "reduce_on_plateau": plateau,
    "validate_every": FLAGS.validate_every,
    "checkpoint_every": FLAGS.checkpoint_every,
    "keep": FLAGS.keep,
    "existing": _existing(),
    "on_nonfinite": _guard(),
    "mixed_precision": None if precision == "none" else precision,
    "accumulate": FLAGS.accumulate,
    "log_every": FLAGS.log_every,
    "hparams": flag_rules.values(_ABOUT_FILES),
    "histograms_every": FLAGS.histograms_every,
    "profile": FLAGS.profile,
    "log_graph": FLAGS.log_graph,
    "resident_mb": FLAGS.resident_mb,
    "staging_mb": FLAGS.staging_mb,
    "seed": FLAGS.seed,
  }


def _existing():
  if FLAGS.fresh:
    return "overwrite" if FLAGS.overwrite else "refuse"
  return "replan" if FLAGS.replan else "continue"


def _guard():
  import trainloop

  if FLAGS.on_nonfinite != "rewind":
    return FLAGS.on_nonfinite
  return trainloop.Rewind(FLAGS.rewind_factor, FLAGS.rewind_limit)


def fit(loop, train, valid=None):
  """`loop.fit` for --epochs that ends well when a signal comes.

  Args:
    loop: a `TrainLoop`.
    train, valid: an `ArrayData` or a batched `tf.data.Dataset`.

  Returns:
    The `History`; a run that a signal stops saves and ends the program, with
    128 plus the signal's number.
  """
  import trainloop

  with trainloop.StopOnSignals(loop.stop, FLAGS.grace) as caught:
    history = loop.fit(train, FLAGS.epochs, validation=valid)
  if history.stop_reason == "preempted":
    again = "the same command goes on" if FLAGS.workdir else "nothing is kept"
    text = f"stopped by a signal after {loop.global_step} steps; {again}"
    # Another worker may have had the signal.
    flag_rules.stop(text, code=caught.exit_code or 128 + signal.SIGTERM)
  return history
