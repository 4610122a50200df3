"""Flags for what `TrainLoop` takes besides schedule, judging and devices."""

from absl import flags

from cli import flag_rules, verbosity

FLAGS = flags.FLAGS
_MOST_EPOCHS = 1 << 29  # a fit has no more updates: `durations.MOST_UPDATES`
_IN_WORKDIR = (
  "fresh",
  "replan",
  "keep",
  "checkpoint_every",
  "histograms_every",
  "profile",
  "log_graph",
)
# Flags that say nothing about what is trained.
_ABOUT_FILES = (
  "workdir",
  "dry_run",
  "export",
  "fresh",
  "overwrite",
  "replan",
  "grace",
  "compile_cache",
  "verbosity",
)


def define():
  """Defines the flags."""
  _define_engine()
  _define_guards()
  _define_workdir()


def _define_engine():
  flag_rules.integer(
    "epochs", 20, "passes over the training data [epochs]", 1, _MOST_EPOCHS
  )
  flag_rules.auto_or_integer(
    "steps_per_loop",
    "updates of one compiled call [steps]; auto: about 0.1 s of them",
  )
  engines = ("auto", "measure", "xla", "graph")
  flags.DEFINE_enum(
    "compile",
    "auto",
    engines,
    "engine that compiles the updates; auto: by a rule",
  )
  flags.DEFINE_enum(
    "mixed_precision",
    "none",
    ("none", "bfloat16", "float16"),
    "what layers compute in; weights stay float32, float16 scales the loss",
  )
  flag_rules.integer(
    "accumulate",
    1,
    "parts that --batch_size is computed in, one after another [micro-batches]",
    1,
  )


def _define_guards():
  flags.DEFINE_enum(
    "on_nonfinite",
    "raise",
    ("raise", "skip", "rewind"),
    "after an update that is not finite: end, pass over it, or go back to the "
    "last checkpoint with smaller learning rates",
  )
  flag_rules.number(
    "rewind_factor",
    0.5,
    "rewind: multiplies the learning rates [factor]",
    0,
    1,
    open_low=True,
  )
  flag_rules.integer("rewind_limit", 3, "rewind: how often at most [times]", 1)
  flag_rules.integer(
    "seed", 0, "of weights, data order and dropout [any integer]", 0, 2**32 - 1
  )
  flag_rules.number(
    "resident_mb",
    None,
    "data that may stand on the device [MB]; unset: a quarter of its free"
    " memory",
    open_low=True,
  )
  flag_rules.number(
    "staging_mb",
    256.0,
    "room for the batches of windows when the data is larger [MB]",
    open_low=True,
  )


def _define_workdir():
  flag_rules.duration("validate_every", "1ep", "time between validations")
  flag_rules.duration("checkpoint_every", "1ep", "time between checkpoints")
  flag_rules.integer("keep", 2, "how many stay [checkpoints]", 1)
  flag_rules.number(
    "grace", 10.0, "time to save in after SIGTERM or SIGINT [s]", open_low=True
  )
  flag_rules.auto_or_integer(
    "log_every",
    "between rows that TensorBoard gets, an epoch's last always [steps]; auto:"
    " 1, beyond a million so many that a million rows are written",
  )
  flag_rules.duration(
    "histograms_every",
    None,
    "time between histograms of weights and gradients; unset: none",
  )
  flag_rules.steps_range(
    "profile", "steps to profile, as 100:120 [steps]; unset: none"
  )
  flags.DEFINE_bool("log_graph", False, "show the model's graph")
  flags.DEFINE_string(
    "workdir", None, "the run's folder; unset: writes nothing"
  )
  flags.DEFINE_string(
    "initial_weights",
    None,
    "weights before the first update: a .keras or .weights.h5 file, or the "
    "workdir of a run; unset: new ones",
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


def make():
  """{argument of `TrainLoop`: value} of the flags."""
  precision = FLAGS.mixed_precision
  return {
    "workdir": FLAGS.workdir,
    "initial_weights": FLAGS.initial_weights,
    "steps_per_loop": flag_rules.read_auto(FLAGS.steps_per_loop),
    "compile": FLAGS.compile,
    "validate_every": FLAGS.validate_every,
    "checkpoint_every": FLAGS.checkpoint_every,
    "keep": FLAGS.keep,
    "existing": _existing(),
    "on_nonfinite": _guard(),
    "mixed_precision": None if precision == "none" else precision,
    "accumulate": FLAGS.accumulate,
    "log_every": flag_rules.read_auto(FLAGS.log_every),
    "hparams": flag_rules.values(_ABOUT_FILES),
    "histograms_every": FLAGS.histograms_every,
    "profile": FLAGS.profile,
    "log_graph": FLAGS.log_graph,
    "resident_mb": FLAGS.resident_mb,
    "staging_mb": FLAGS.staging_mb,
    "seed": FLAGS.seed,
    "verbose": verbosity.level(),
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
