"""Images in classes: MNIST or Fashion-MNIST, with a small convolutional net.

  python scripts/examples/images.py --data_path=mnist.npz --workdir=runs/images
  python scripts/examples/images.py --dataset=fashion_mnist

1cycle: the learning rate rises and falls once, momentum the other way round.
Without --data_path Keras fetches the data. Three epochs of MNIST take half a
minute on two cores.
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
  names = ("mnist", "fashion_mnist")
  flags.DEFINE_enum("dataset", "mnist", names, "what Keras fetches")
  flags.DEFINE_string(
    "data_path",
    None,
    ".npz with x_train, y_train, x_test, y_test; unset: Keras fetches it",
  )
  flag_rules.integer(
    "batch_size", 128, "size of the global batch [examples]", 1
  )
  flag_rules.integer("filters", 16, "of the first convolution [filters]", 1)
  run_flags.define(epochs=3, schedule="one_cycle")


def model_maker(shape, classes, filters):
  """A callable that makes the model, for images of some shape."""
  import keras

  layers = keras.layers

  def make_model():
    return keras.Sequential(
      [
        layers.Input(shape),
        # Strides in place of pooling: a quarter of the work.
        layers.Conv2D(filters, 5, strides=2, activation="relu"),
        layers.Conv2D(2 * filters, 3, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dropout(0.2),
        layers.Dense(64, activation="relu"),
        layers.Dense(classes, activation="softmax"),
      ]
    )

  return make_model


def work(strategy):
  """Trains on the images."""
  import keras

  import trainloop
  from training import datasets

  data = datasets.load(
    FLAGS.dataset, FLAGS.data_path, 0.2, 0, 0, "classification"
  )
  x, x_val = (
    part.reshape(*part.shape[:3], -1) for part in (data.x_train, data.x_val)
  )
  train = trainloop.ArrayData(
    x, data.y_train, batch_size=FLAGS.batch_size, seed=FLAGS.seed
  )
  valid = trainloop.ArrayData(x_val, data.y_val, batch_size=1000)

  classes = len(set(data.y_train.tolist()))
  loop = trainloop.TrainLoop(
    model_maker(x.shape[1:], classes, FLAGS.filters),
    lambda: keras.optimizers.SGD(nesterov=True, momentum=0.9),
    "sparse_categorical_crossentropy",
    metrics=["accuracy"],
    strategy=strategy,
    schedule=run_flags.schedule(train.steps_per_epoch, peak_lr=0.1),
    on_epoch=lambda logs: output.line(f"epoch {logs['epoch']}: {logs}"),
    **run_flags.options(train.steps_per_epoch),
  )
  run_flags.fit(loop, train, valid)
  output.line(f"test images: {loop.evaluate(valid)}")
  if FLAGS.workdir:
    path = os.path.join(FLAGS.workdir, "model.keras")
    run_flags.save(path, loop.model.save)
    output.line(f"wrote {path}")


def main(argv):
  del argv
  run_flags.check()
  run_flags.run(work)


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
