"""Trains a Keras model with a scheduled learning rate and momentum.

  python scripts/train.py --workdir=runs/first
  python scripts/train.py --dataset=mnist --model=cnn --epochs=3

The default (handwritten digits, an MLP, 1cycle, 20 epochs) takes about 10 s on
two cores and reaches about 98 % validation accuracy. Everything is in the
workdir afterwards: TensorBoard events, result.json, model.keras.
"""

import os

from absl import app, flags

import datasets
import device_flags
import flag_rules
import judging_flags
import quiet
import schedule_flags

FLAGS = flags.FLAGS

# The rate that suits an optimizer as the peak of a schedule.
PEAKS = {
  "sgd": 0.1,
  "rmsprop": 1e-3,
  "adam": 3e-3,
  "adamw": 3e-3,
  "nadam": 3e-3,
  "adamax": 6e-3,
  "lamb": 1e-2,
  "lion": 3e-4,
  "adadelta": 1.0,
  "adafactor": 1e-2,
  "adagrad": 5e-2,
  "ftrl": 5e-2,
}
_EXACT = ("adam", "adamw", "adamax", "lamb")
_MODEL_USES = {
  "mlp": ("hidden", "dropout"),
  "cnn": ("hidden", "dropout", "filters"),
  "embedding_bag": ("dropout", "num_words", "embedding_dim"),
}


def define_flags():
  """Defines all flags of the script."""
  define_data_flags()
  define_model_flags()
  schedule_flags.define()
  _define_loop_flags()
  judging_flags.define()
  quiet.define()
  flag_rules.show_in_help()


def define_data_flags():
  """Defines the flags of the data."""
  flags.DEFINE_enum("dataset", "digits", datasets.NAMES, "what to train on")
  flags.DEFINE_string(
    "data_path",
    None,
    "file to read: .npz (x_train, y_train, x_val ...), .csv; unset: what "
    "the dataset brings",
  )
  flag_rules.number(
    "validation_fraction",
    0.2,
    "share held out where the data has no validation part [fraction]",
    high=0.9,
    open_low=True,
  )
  flags.DEFINE_enum(
    "task",
    "auto",
    ("auto", "classification", "regression"),
    "what the labels are; auto: fractions mean regression",
  )
  flag_rules.integer("max_length", 400, "imdb: length of a review [words]", 1)
  flag_rules.integer(
    "batch_size", 32, "size of the global batch of one update [examples]", 1
  )


def define_model_flags():
  """Defines the flags of model and optimizer."""
  flags.DEFINE_string(
    "model",
    "mlp",
    "mlp, cnn, embedding_bag, or package.module:function, a function of "
    "(input_shape, outputs) that returns a keras.Model",
  )
  sizes = {
    "count": None,
    "kind": int,
    "accept": lambda value: value >= 1,
    "rule": "positive integers separated by commas",
  }
  flag_rules.numbers(
    "hidden", "256", "sizes of the hidden layers [units]", **sizes
  )
  flag_rules.numbers(
    "filters", "32,64", "cnn: sizes of the convolutions [filters]", **sizes
  )
  flag_rules.number(
    "dropout", 0.0, "dropout before the last layer [fraction]", high=0.9
  )
  flag_rules.integer(
    "num_words", 20000, "imdb: size of the vocabulary [words]", 4
  )
  flag_rules.integer(
    "embedding_dim", 50, "embedding_bag: size of a word's vector [numbers]", 1
  )
  flags.DEFINE_enum("optimizer", "sgd", tuple(PEAKS), "Keras optimizer")
  flag_rules.number(
    "momentum",
    None,
    "sgd, rmsprop: the optimizer's own [coefficient]; unset: 0.9",
    high=0.999,
  )
  flags.DEFINE_bool("nesterov", True, "sgd: Nesterov momentum")
  flags.DEFINE_enum(
    "bias_correction",
    "keras",
    ("keras", "exact"),
    f"{', '.join(_EXACT)}: divide by 1 - beta_1^t, or by 1 - prod beta_1(i)",
  )


def _define_loop_flags():
  flag_rules.integer("epochs", 20, "passes over the training data [epochs]", 1)
  flags.DEFINE_string(
    "steps_per_loop",
    "auto",
    "updates of one compiled call [steps]; auto: about 0.1 s of them",
  )
  engines = ("auto", "measure", "xla", "graph")
  flags.DEFINE_enum(
    "compile",
    "auto",
    engines,
    "engine that compiles the updates; auto: by a rule",
  )
  device_flags.define()
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
  flag_rules.duration("validate_every", "1ep", "time between validations")
  flag_rules.duration("checkpoint_every", "1ep", "time between checkpoints")
  flag_rules.integer("keep", 2, "how many stay [checkpoints]", 1)
  flag_rules.number(
    "grace", 10.0, "time to save in after SIGTERM or SIGINT [s]", open_low=True
  )
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
  flag_rules.integer("log_every", 1, "time between logged rows [steps]", 1)
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
  flags.DEFINE_bool("fresh", False, "refuse a workdir that holds a run")
  flags.DEFINE_bool("overwrite", False, "fresh: remove the run instead")
  flags.DEFINE_bool(
    "replan", False, "go on with a changed schedule or number of epochs"
  )
  flags.DEFINE_bool(
    "dry_run", False, "print the resolved plan, write it into --workdir, exit"
  )

  def accept(value):
    if value == "auto" or (value.isdecimal() and int(value) >= 1):
      return True
    rule = "auto or an integer >= 1"
    raise flags.ValidationError(f"must be {rule}; got {value!r}")

  flags.register_validator("steps_per_loop", accept)


def check_data_and_model():
  """Rules about the flags of data, model and optimizer."""
  if FLAGS.dataset in datasets.NEED_PATH and not FLAGS.data_path:
    flag_rules.stop(f"--dataset={FLAGS.dataset} needs --data_path=FILE")
  if FLAGS.dataset == "digits" and FLAGS.data_path:
    flag_rules.stop("--data_path has no effect with --dataset=digits")
  if FLAGS.data_path and not os.path.isfile(FLAGS.data_path):
    flag_rules.stop(f"--data_path={FLAGS.data_path} is not a file")
  if FLAGS["max_length"].present and FLAGS.dataset != "imdb":
    flag_rules.stop(
      f"--max_length has no effect with --dataset={FLAGS.dataset}"
    )
  known = ", ".join(_MODEL_USES)
  if FLAGS.model not in _MODEL_USES and ":" not in FLAGS.model:
    rule = f"one of {known}, or package.module:function"
    flag_rules.stop(f"--model must be {rule}; got {FLAGS.model!r}")
  flag_rules.refuse_unused("model", _MODEL_USES)
  if FLAGS.bias_correction == "exact" and FLAGS.optimizer not in _EXACT:
    choice = f"--optimizer={FLAGS.optimizer}"
    flag_rules.stop(f"--bias_correction=exact has no effect with {choice}")
  for name in ("momentum", "nesterov"):
    able = ("sgd", "rmsprop") if name == "momentum" else ("sgd",)
    if FLAGS[name].present and FLAGS.optimizer not in able:
      choice = f"--optimizer={FLAGS.optimizer}"
      flag_rules.stop(f"--{name} has no effect with {choice}")


def check_flags():
  """Rules about several flags, before TensorFlow is imported."""
  check_data_and_model()
  if FLAGS.workdir == "":
    flag_rules.stop("--workdir must be a folder's path; got ''")
  _check_run_flags()
  schedule_flags.check()
  judging_flags.check()
  device_flags.check()


def _check_run_flags():
  """Rules about an update, what becomes of a bad one, and of a run."""
  if FLAGS.batch_size % FLAGS.accumulate:
    rule = f"a multiple of --accumulate={FLAGS.accumulate}"
    flag_rules.stop(f"--batch_size must be {rule}; got {FLAGS.batch_size}")
  for name in (
    "fresh",
    "replan",
    "keep",
    "checkpoint_every",
    "histograms_every",
    "profile",
    "log_graph",
  ):
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


def main(argv):
  del argv
  check_flags()
  # Imported here: flags are checked in 0.1 s, TensorFlow takes 4.
  with quiet.startup():
    import job
    import trainloop
    from kernels import checks

  try:
    strategy = device_flags.strategy(quiet.startup(), FLAGS.dry_run)
    with trainloop.peers.watched():
      job.run(FLAGS, PEAKS, strategy)
  except (checks.ArgumentError, datasets.DataError) as error:
    flag_rules.stop(error)
  except trainloop.MissingPeerError as error:
    flag_rules.stop(error)
  except (trainloop.PeerError, trainloop.NonFiniteError, OSError) as error:
    flag_rules.stop(error, code=1)
  except KeyboardInterrupt:
    again = "; the same command goes on" if FLAGS.workdir else ""
    flag_rules.stop(f"interrupted{again}", code=130)


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
