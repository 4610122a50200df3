"""Film reviews, good or bad: IMDB, with an embedding of its words.

  python scripts/examples/text.py --data_path=imdb.npz --workdir=runs/text

Reviews are rows of word numbers, 0 where there is none. SGDR: the learning rate
falls as a cosine, starts again, and each cycle is twice as long as the one
before. Without --data_path Keras fetches the data.
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
  flags.DEFINE_string(
    "data_path",
    None,
    ".npz with x_train, y_train, x_test, y_test; unset: Keras fetches it",
  )
  flag_rules.integer(
    "batch_size", 100, "size of the global batch [examples]", 1
  )
  flag_rules.integer("num_words", 10000, "size of the vocabulary [words]", 4)
  flag_rules.integer("max_length", 200, "length of a review [words]", 1)
  flag_rules.integer(
    "embedding_dim", 32, "size of a word's vector [numbers]", 1
  )
  run_flags.define(
    epochs=3, schedule="cosine_restarts", cycle_len="1ep", cycle_mult=2
  )


def model_maker(length, words, numbers):
  """A callable that makes the model, for reviews of some length."""
  import keras

  layers = keras.layers

  def make_model():
    inputs = layers.Input((length,), dtype="int32")
    # mask_zero: the mean is that of the words, not of the padding.
    x = layers.Embedding(words, numbers, mask_zero=True)(inputs)
    x = layers.GlobalAveragePooling1D()(x)
    x = layers.Dropout(0.3)(x)
    x = layers.Dense(16, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x))

  return make_model


def work(strategy):
  """Trains on the reviews."""
  import keras

  import trainloop
  from training import datasets

  data = datasets.load(
    "imdb",
    FLAGS.data_path,
    0.2,
    FLAGS.num_words,
    FLAGS.max_length,
    "classification",
  )
  train = trainloop.ArrayData(
    data.x_train, data.y_train, batch_size=FLAGS.batch_size, seed=FLAGS.seed
  )
  valid = trainloop.ArrayData(data.x_val, data.y_val, batch_size=1000)

  loop = trainloop.TrainLoop(
    model_maker(data.x_train.shape[1], FLAGS.num_words, FLAGS.embedding_dim),
    keras.optimizers.Adam,
    "binary_crossentropy",
    metrics=["accuracy"],
    strategy=strategy,
    schedule=run_flags.schedule(train.steps_per_epoch, peak_lr=5e-3),
    **run_flags.options(train.steps_per_epoch),
  )
  history = run_flags.fit(loop, train, valid)
  output.line(f"test reviews: {loop.evaluate(valid)}")
  if FLAGS.workdir:
    picture = os.path.join(FLAGS.workdir, "learning_rate.png")
    run_flags.save(picture, lambda path: history.plot("learning_rate", path))
    model = os.path.join(FLAGS.workdir, "model.keras")
    run_flags.save(model, loop.model.save)
    output.line(f"wrote {picture} and model.keras")


def main(argv):
  del argv
  run_flags.check()
  run_flags.run(work)


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
