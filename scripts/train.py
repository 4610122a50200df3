"""Trains a Keras model with a scheduled learning rate and momentum.

  python scripts/train.py --workdir=runs/first
  python scripts/train.py --dataset=mnist --model=cnn --epochs=3

The default (handwritten digits, an MLP, 1cycle, 20 epochs) takes about 10 s on
two cores and reaches about 98 % validation accuracy. Everything is in the
workdir afterwards: TensorBoard events, result.json, model.keras.
"""

from cli import interrupts

if __name__ == "__main__":
  interrupts.install()  # before what takes time to import

# isort: split
import os

from absl import app, flags

from cli import average_flag, flag_rules, run_flags, table_flags
from training import datasets, export, table_options

FLAGS = flags.FLAGS

# The rate that suits an optimizer as the peak of a schedule.
PEAKS = {
  "sgd": 0.1,
  "rmsprop": 1e-3,
  "adam": 3e-3,
  "adamw": 3e-3,
  "muon": 1e-2,
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
  flags.DEFINE_enum(
    "export", "keras", export.KINDS, "what of the model the workdir gets"
  )
  flags.DEFINE_bool(
    "dry_run", False, "print the resolved plan, write it into --workdir, exit"
  )
  run_flags.define()


def define_data_flags():
  """Defines the flags of the data."""
  flags.DEFINE_enum("dataset", "digits", datasets.NAMES, "what to train on")
  flags.DEFINE_string(
    "data_path",
    None,
    "file to read: .npz (x_train, y_train, x_val ...), .csv, .csv.gz, "
    ".parquet; several tables with commas or a pattern, as 'part-*.csv'; "
    "unset: what the dataset brings",
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
  table_flags.define()


def define_model_flags():
  """Defines the flags of model and optimizer."""
  _define_layers()
  _define_optimizer()


def _define_layers():
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


def _define_optimizer():
  flags.DEFINE_enum("optimizer", "sgd", tuple(PEAKS), "Keras optimizer")
  flag_rules.number(
    "momentum",
    None,
    "sgd, rmsprop: the optimizer's own [coefficient]; unset: 0.9, or 0 in "
    "schedule-free training",
    high=0.999,
  )
  flag_rules.number(
    "clip_norm",
    None,
    "largest norm of an update's gradient, 0 for none [norm]; unset: 1 for "
    "sgd on a table of your own, else none",
  )
  flags.DEFINE_bool("nesterov", True, "sgd: Nesterov momentum")
  flags.DEFINE_enum(
    "bias_correction",
    "keras",
    ("keras", "exact"),
    f"{', '.join(_EXACT)}: divide by 1 - beta_1^t, or by 1 - prod beta_1(i)",
  )


def check_data_and_model():
  """Rules about the flags of data, model and optimizer."""
  if FLAGS.dataset in datasets.NEED_PATH and not FLAGS.data_path:
    flag_rules.stop(f"--dataset={FLAGS.dataset} needs --data_path=FILE")
  if FLAGS.dataset == "digits" and FLAGS.data_path:
    flag_rules.stop("--data_path has no effect with --dataset=digits")
  if FLAGS.dataset in table_flags.KINDS:
    try:
      table_options.files(FLAGS.data_path)
    except datasets.DataError as error:
      flag_rules.stop(str(error))
  elif FLAGS.data_path and not os.path.isfile(FLAGS.data_path):
    flag_rules.stop(f"--data_path={FLAGS.data_path} is not a file")
  table_flags.check()
  if FLAGS["max_length"].present and FLAGS.dataset != "imdb":
    flag_rules.stop(
      f"--max_length has no effect with --dataset={FLAGS.dataset}"
    )
  names = ", ".join(_MODEL_USES)
  if FLAGS.model not in _MODEL_USES and ":" not in FLAGS.model:
    rule = f"one of {names}, or package.module:function"
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


def _check_average():
  able = ("sgd", "adam", "adamw")
  if average_flag.is_schedule_free() and FLAGS.optimizer not in able:
    rule = f"one of {', '.join(able)} with --average={FLAGS.average}"
    flag_rules.stop(f"--optimizer must be {rule}; got {FLAGS.optimizer}")


def check_flags():
  """Rules about several flags, before TensorFlow is imported."""
  check_data_and_model()
  _check_average()
  if FLAGS.batch_size % FLAGS.accumulate:
    rule = f"a multiple of --accumulate={FLAGS.accumulate}"
    flag_rules.stop(f"--batch_size must be {rule}; got {FLAGS.batch_size}")
  exports = FLAGS["export"].present and FLAGS.export != "none"
  if exports and FLAGS.workdir is None:
    flag_rules.stop("--export needs --workdir")
  run_flags.check()


def main(argv):
  del argv
  check_flags()

  def work(strategy):
    from training import job  # here, as it imports TensorFlow

    job.run(FLAGS, PEAKS, strategy)

  run_flags.run(work, FLAGS.dry_run)


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
