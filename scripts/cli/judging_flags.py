"""Flags of early stopping and plateau, and the options they describe."""

from absl import flags

from cli import flag_rules, light

FLAGS = flags.FLAGS
trainloop = light.Deferred("trainloop")
# What each of the two reads besides what both read.
_USES = {
  "early_stopping": (
    "target",
    "divergence",
    "restore",
    "baseline",
    "start_from_epoch",
  ),
  "reduce_on_plateau": (
    "plateau_factor",
    "plateau_cooldown",
    "plateau_min_scale",
    "restore_best_first",
  ),
}
_BOTH = (
  "monitor",
  "monitor_mode",
  "min_delta",
  "min_delta_mode",
  "patience_unit",
)


def define():
  """Defines the flags."""
  _define_patience()
  _define_comparison()
  _define_stopping()
  _define_plateau()


def _define_patience():
  flag_rules.integer(
    "early_stopping",
    None,
    "stop when that many in a row were not better [validations]; unset: never",
    0,
  )
  flag_rules.integer(
    "reduce_on_plateau",
    None,
    "cut the rate when that many in a row were not better [validations]; "
    "unset: never",
    1,
  )
  flags.DEFINE_enum(
    "patience_unit",
    "epoch",
    ("epoch", "cycle"),
    "cycle: judged only where a cycle of the schedule ends",
  )


def _define_comparison():
  flags.DEFINE_string("monitor", "val_loss", "metric that those two watch")
  modes = ("auto", "min", "max")
  flags.DEFINE_enum("monitor_mode", "auto", modes, "what is better in it")
  flag_rules.number(
    "min_delta", 0.0, "improvement to be exceeded [unit of --monitor]"
  )
  flags.DEFINE_enum(
    "min_delta_mode",
    "absolute",
    ("absolute", "relative"),
    "relative: --min_delta is a fraction of the best value, below 1",
  )


def _define_stopping():
  low = float("-inf")
  flag_rules.number(
    "target",
    None,
    "early_stopping: stop when reached [unit of --monitor]; unset: none",
    low,
  )
  flag_rules.number(
    "divergence",
    None,
    "early_stopping: stop beyond it [unit of --monitor]; unset: none",
    low,
  )
  flag_rules.number(
    "baseline",
    None,
    "early_stopping: what must be beaten, too, for the wait to start again "
    "[unit of --monitor]; unset: nothing",
    low,
  )
  flag_rules.integer(
    "start_from_epoch",
    0,
    "early_stopping: time at the start that is not looked at [epochs]",
    0,
  )
  flags.DEFINE_enum(
    "restore",
    "weights",
    ("none", "weights", "all", "cycle_end"),
    "early_stopping: what the run ends with: the best weights, or with the "
    "optimizer's slots, or the weights at the last cycle's end",
  )


def _define_plateau():
  flag_rules.number(
    "plateau_factor",
    0.1,
    "what a cut multiplies the rate by [factor]",
    0,
    0.999,
    open_low=True,
  )
  flag_rules.integer(
    "plateau_cooldown",
    0,
    "time after a cut that does not count [validations]",
    0,
  )
  flag_rules.number(
    "plateau_min_scale",
    1e-4,
    "least product of all cuts [factor]",
    0,
    1,
    open_low=True,
  )
  flags.DEFINE_bool(
    "restore_best_first", False, "a cut puts the best weights back before"
  )


def check():
  """Rules about several flags; ends the program with one line.

  --schedule=autofit without --epochs means ktrain's: up to 1024 epochs, early
  stopping 5, plateau 2 with factor 0.5.
  """
  if FLAGS.schedule == "autofit" and not FLAGS["epochs"].present:
    defaults = {
      "epochs": 1024,
      "early_stopping": 5,
      "reduce_on_plateau": 2,
      "plateau_factor": 0.5,
    }
    for name, value in defaults.items():
      if not FLAGS[name].present:
        FLAGS.set_default(name, value)
  for name, used in _USES.items():
    for flag in used if FLAGS[name].value is None else ():
      if FLAGS[flag].present:
        flag_rules.stop(f"--{flag} needs --{name}")
  if FLAGS.min_delta_mode == "relative" and FLAGS.min_delta >= 1:
    rule = "a fraction below 1 with --min_delta_mode=relative"
    flag_rules.stop(f"--min_delta must be {rule}; got {FLAGS.min_delta:g}")
  if FLAGS.early_stopping is None and FLAGS.reduce_on_plateau is None:
    for flag in _BOTH:
      if FLAGS[flag].present:
        rule = "--early_stopping or --reduce_on_plateau"
        flag_rules.stop(f"--{flag} needs {rule}")


def make():
  """(EarlyStopping or None, ReduceOnPlateau or None)."""
  common = {
    "monitor": FLAGS.monitor,
    "mode": FLAGS.monitor_mode,
    "min_delta": FLAGS.min_delta,
    "min_delta_mode": FLAGS.min_delta_mode,
    "unit": FLAGS.patience_unit,
  }
  stopping = plateau = None
  if FLAGS.early_stopping is not None:
    restores = FLAGS.restore != "none"
    stopping = trainloop.EarlyStopping(
      patience=FLAGS.early_stopping,
      target=FLAGS.target,
      divergence=FLAGS.divergence,
      restore_best_weights=restores,
      restore=FLAGS.restore if restores else "weights",
      baseline=FLAGS.baseline,
      start_from_epoch=FLAGS.start_from_epoch,
      **common,
    )
  if FLAGS.reduce_on_plateau is not None:
    plateau = trainloop.ReduceOnPlateau(
      patience=FLAGS.reduce_on_plateau,
      factor=FLAGS.plateau_factor,
      cooldown=FLAGS.plateau_cooldown,
      min_scale=FLAGS.plateau_min_scale,
      restore_best_first=FLAGS.restore_best_first,
      **common,
    )
  return stopping, plateau
