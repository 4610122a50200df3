"""A table with a label in its last column: a CSV of your own, or ionosphere.

  python scripts/examples/tabular.py --data_path=ionosphere.csv \\
      --workdir=runs/table

Words or whole numbers as labels make it a classification. Early stopping is on:
training ends when the validation loss was not better ten times in a row, with
the best weights. The model normalises its inputs itself, so that the model file
takes rows as they stand in the CSV: an array, or with words or missing values
among them a dict of columns.
"""

import os
import pathlib
import sys

# The folder that has cli/; a copy of this script has it beside itself.
sys.path.insert(1, str(pathlib.Path(__file__).resolve().parent.parent))

from absl import app, flags

from cli import flag_rules, run_flags
from cli.light import output

FLAGS = flags.FLAGS


def define_flags():
  """Defines all flags of the script."""
  flags.DEFINE_string("data_path", None, "the CSV file; unset: refused")
  flag_rules.integer("batch_size", 16, "size of the global batch [examples]", 1)
  flag_rules.integer("hidden", 64, "size of two hidden layers [units]", 1)
  flag_rules.number(
    "dropout", 0.2, "share of units left out [fraction]", high=0.9
  )
  run_flags.define(
    epochs=60, schedule="warmup_cosine", early_stopping=10, monitor="val_loss"
  )


def model_maker(data, units, dropout):
  """A callable that makes the model for a `training.datasets.Data`."""
  import keras

  from training import datasets

  layers = keras.layers
  last = "linear"
  if data.task == "classification":
    last = "sigmoid" if data.outputs == 1 else "softmax"

  def make_model():
    hidden = [
      layer
      for _ in range(2)
      for layer in (
        layers.Dense(units, activation="relu"),
        layers.Dropout(dropout),
      )
    ]
    inside = layers.Input(data.x_train.shape[1:])
    outside = layers.Dense(data.outputs, activation=last)
    first = datasets.first_layers(data)
    return keras.Sequential([inside, *first, *hidden, outside])

  return make_model


def work(strategy):
  """Trains on the table."""
  import keras

  import trainloop
  from training import datasets

  data = datasets.load("csv", FLAGS.data_path, 0.25, 0, 0, "auto")
  train = trainloop.ArrayData(
    data.x_train, data.y_train, batch_size=FLAGS.batch_size, seed=FLAGS.seed
  )
  valid = trainloop.ArrayData(data.x_val, data.y_val, batch_size=1000)
  classes = data.task == "classification"

  loop = trainloop.TrainLoop(
    model_maker(data, FLAGS.hidden, FLAGS.dropout),
    lambda: keras.optimizers.AdamW(weight_decay=1e-3),
    data.loss,
    metrics=["accuracy" if classes else "mae"],
    strategy=strategy,
    schedule=run_flags.schedule(train.steps_per_epoch, peak_lr=3e-3),
    **run_flags.options(train.steps_per_epoch),
  )
  history = run_flags.fit(loop, train, valid)
  output.line(f"{history.stop_reason}; the best was {loop.best}")
  output.line(f"validation: {loop.evaluate(valid)}")
  if FLAGS.workdir:
    path = os.path.join(FLAGS.workdir, "model.keras")
    run_flags.save(path, data.in_units(loop.model).save)
    takes = f"rows of {data.x_train.shape[1]} numbers"
    takes = takes if data.table is None else "{column: values}"
    output.line(f"wrote {path}: takes {takes}")


def main(argv):
  del argv
  if not FLAGS.data_path:
    flag_rules.stop("--data_path must be a CSV file; got None")
  run_flags.check()
  run_flags.run(work)


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
