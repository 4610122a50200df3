"""A loss that is not loss(y, f(x)): a variational autoencoder of digits.

  python scripts/examples/custom_step.py --workdir=runs/vae

The step gives each example's loss, and two more values to be averaged; the loop
reduces them over the global batch, so that replicas, micro-batches, mixed
precision, validation and resume work as for any other loss. The decoder is
exported alone: it draws digits from points of a plane.
Kingma and Welling 2014, "Auto-Encoding Variational Bayes".
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
_HELD_OUT = 360  # images


def define_flags():
  """Defines all flags of the script."""
  flag_rules.integer("batch_size", 32, "size of the global batch [examples]", 1)
  flag_rules.integer("hidden", 64, "size of encoder and decoder [units]", 1)
  flag_rules.number(
    "beta", 0.1, "weight of the divergence [factor]", open_low=True
  )
  run_flags.define(epochs=20)


def model_maker(units, seed):
  """A callable that makes images to [decoded images, means, log variances]."""
  import keras

  layers = keras.layers

  class Draw(layers.Layer):
    """A point near the mean; in validation the mean itself."""

    def __init__(self, **options):
      super().__init__(**options)
      self.seeds = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
      mean, log_variance = inputs
      if not training:
        return mean
      noise = keras.random.normal(keras.ops.shape(mean), seed=self.seeds)
      return mean + keras.ops.exp(0.5 * log_variance) * noise

  def make_model():
    image = layers.Input((64,))
    hidden = layers.Dense(units, activation="relu")(image)
    mean, log_variance = layers.Dense(2)(hidden), layers.Dense(2)(hidden)
    decoder = keras.Sequential(
      [
        layers.Input((2,)),
        layers.Dense(units, activation="relu"),
        layers.Dense(64, activation="sigmoid"),
      ],
      name="decoder",
    )
    decoded = decoder(Draw()([mean, log_variance]))
    return keras.Model(image, [decoded, mean, log_variance])

  return make_model


def step_maker(beta):
  """The step: each example's reconstruction error + beta divergence.

  It reads no flags, so that what a run is compared by is `beta` alone.
  """
  import tensorflow as tf

  def step(model, x, y, training):
    del y
    decoded, mean, log_variance = model(x, training=training)
    error = tf.reduce_sum(tf.square(decoded - x), axis=1)
    terms = tf.exp(log_variance) + tf.square(mean) - 1.0 - log_variance
    divergence = 0.5 * tf.reduce_sum(terms, axis=1)
    loss = error + beta * divergence
    return {"loss": loss, "error": error, "divergence": divergence}

  return step


def work(strategy):
  """Trains on scikit-learn's digits, without their labels."""
  import keras
  from sklearn import datasets

  import trainloop

  images = (datasets.load_digits().data / 16).astype("float32")
  train = trainloop.ArrayData(
    images[:-_HELD_OUT], batch_size=FLAGS.batch_size, seed=FLAGS.seed
  )
  valid = trainloop.ArrayData(images[-_HELD_OUT:], batch_size=1000)
  loop = trainloop.TrainLoop(
    model_maker(FLAGS.hidden, FLAGS.seed),
    keras.optimizers.Adam,
    step=step_maker(FLAGS.beta),
    strategy=strategy,
    schedule=run_flags.schedule(train.steps_per_epoch, peak_lr=5e-3),
    **run_flags.options(train.steps_per_epoch),
  )
  run_flags.fit(loop, train, valid)
  output.line(f"validation: {loop.evaluate(valid)}")
  if FLAGS.workdir:
    path = os.path.join(FLAGS.workdir, "decoder.keras")
    run_flags.save(path, loop.model.get_layer("decoder").save)
    output.line(f"wrote {path}: two numbers to an image of 8 x 8")


def main(argv):
  del argv
  run_flags.check()
  run_flags.run(work)


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
