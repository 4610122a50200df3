"""A dataset of your own from TFRecord files, read by tf.data.

  python scripts/examples/tfrecord.py --write --data_path=digits.tfrecord
  python scripts/examples/tfrecord.py --data_path=digits.tfrecord \\
      --workdir=runs/records

--write makes a small file of scikit-learn's digits, to show the format: a
record is a tf.train.Example with an image of bytes and a label.
A pattern as shard-*.tfrecord reads several files.
"""

import glob
import pathlib
import sys

# The folder that has cli/; a copy of this script has it beside itself.
sys.path.insert(1, str(pathlib.Path(__file__).resolve().parent.parent))

from absl import app, flags

from cli import flag_rules, run_flags
from cli.exits import DataError
from cli.light import output

FLAGS = flags.FLAGS
_SHAPE = (8, 8)


def define_flags():
  """Defines all flags of the script."""
  flags.DEFINE_string(
    "data_path", None, "TFRecord file, or a pattern of files; unset: refused"
  )
  flags.DEFINE_bool("write", False, "write that file, and end")
  flag_rules.integer("batch_size", 32, "size of the global batch [examples]", 1)
  flag_rules.integer("held_out", 300, "kept for validation [examples]", 1)
  run_flags.define(epochs=15)


def write(path):
  """Writes scikit-learn's digits as a TFRecord file."""
  import tensorflow as tf
  from sklearn import datasets

  images, labels = datasets.load_digits(return_X_y=True)
  train = tf.train
  with tf.io.TFRecordWriter(path) as file:
    for image, label in zip(images.astype("uint8"), labels, strict=True):
      features = {
        "image": train.Feature(
          bytes_list=train.BytesList(value=[image.tobytes()])
        ),
        "label": train.Feature(int64_list=train.Int64List(value=[label])),
      }
      example = train.Example(features=train.Features(feature=features))
      file.write(example.SerializeToString())
  output.line(f"wrote {len(images)} records to {path}")


def read(paths):
  """(training, validation): batched datasets of (image, label)."""
  import tensorflow as tf

  def parse(records):
    """Parses a whole batch in one call, which is several times faster."""
    features = tf.io.parse_example(
      records,
      {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
      },
    )
    pixels = tf.io.decode_raw(features["image"], tf.uint8)
    images = tf.reshape(tf.cast(pixels, tf.float32) / 16, [-1, *_SHAPE])
    return images, features["label"]

  records = tf.data.TFRecordDataset(paths)
  train = records.skip(FLAGS.held_out)
  # The seed makes the order that of the run, also after a restart.
  train = train.shuffle(2000, seed=FLAGS.seed)
  train = train.batch(FLAGS.batch_size, drop_remainder=True).map(parse)
  valid = records.take(FLAGS.held_out).batch(1000).map(parse)
  return train, valid


def make_model():
  """An MLP of the digits."""
  import keras

  layers = keras.layers
  return keras.Sequential(
    [
      layers.Input(_SHAPE),
      layers.Flatten(),
      layers.Dense(128, activation="relu"),
      layers.Dense(10, activation="softmax"),
    ]
  )


def work(strategy):
  """Writes the records, or trains on them."""
  import keras
  import tensorflow as tf

  import trainloop
  from trainloop.data import source

  if FLAGS.write:
    write(FLAGS.data_path)
    return
  try:
    train, valid = (
      source.adapt("data", part)
      for part in read(sorted(glob.glob(FLAGS.data_path)))
    )
  except tf.errors.DataLossError as error:
    text = f"--data_path={FLAGS.data_path} holds no TFRecords"
    raise DataError(
      f"{text} ({error.message.partition(chr(10))[0]})"
    ) from error

  loop = trainloop.TrainLoop(
    make_model,
    lambda: keras.optimizers.SGD(nesterov=True, momentum=0.9),
    "sparse_categorical_crossentropy",
    metrics=["accuracy"],
    strategy=strategy,
    schedule=run_flags.schedule(train.steps_per_epoch, peak_lr=0.2),
    **run_flags.options(train.steps_per_epoch),
  )
  run_flags.fit(loop, train, valid)
  output.line(f"validation: {loop.evaluate(valid)}")


def main(argv):
  del argv
  if not FLAGS.data_path:
    flag_rules.stop("--data_path must be a file or a pattern; got None")
  if not FLAGS.write and not glob.glob(FLAGS.data_path):
    flag_rules.stop(f"--data_path={FLAGS.data_path} names no file")
  run_flags.check()
  run_flags.run(work)


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
