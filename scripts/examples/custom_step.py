"""A loss that is not loss(y, f(x)): a variational autoencoder of digits.

  python scripts/examples/custom_step.py --workdir=runs/vae

The step gives each example's loss, and two more values to be averaged; the loop
reduces them over the global batch, so that replicas, micro-batches, mixed
precision, validation and resume work as for any other loss. The decoder is
exported alone: it draws digits from points of a plane.
Kingma and Welling 2014, "Auto-Encoding Variational Bayes".
"""

import os

import parent  # noqa: F401

# isort: split
from absl import app, flags

from cli import flag_rules, run_flags
from cli.light import output
from training import export

FLAGS = flags.FLAGS


def define_flags():
  """Defines all flags of the script."""
  flag_rules.integer("batch_size", 32, "size of the global batch [examples]", 1)
  flag_rules.integer("hidden", 64, "size of encoder and decoder [units]", 1)
  flag_rules.number(
    "beta", 0.1, "weight of the divergence [factor]", open_low=True
  )
  run_flags.define(epochs=20)


def make_model():
  """Images to [decoded images, means, log variances]."""
  import keras

  class Draw(keras.layers.Layer):
    """A point near the mean; in validation the mean itself."""

    def __init__(self, **options):
      super().__init__(**options)
      self.seeds = keras.random.SeedGenerator(FLAGS.seed)

    def call(self, inputs, training=False):
      mean, log_variance = inputs
      if not training:
        return mean
      noise = keras.random.normal(keras.ops.shape(mean), seed=self.seeds)
      return mean + keras.ops.exp(0.5 * log_variance) * noise

  layers = keras.layers
  image = layers.Input((64,))
  hidden = layers.Dense(FLAGS.hidden, activation="relu")(image)
  mean, log_variance = layers.Dense(2)(hidden), layers.Dense(2)(hidden)
  decoder = keras.Sequential(
    [
      layers.Input((2,)),
      layers.Dense(FLAGS.hidden, activation="relu"),
      layers.Dense(64, activation="sigmoid"),
    ],
    name="decoder",
  )
  decoded = decoder(Draw()([mean, log_variance]))
  return keras.Model(image, [decoded, mean, log_variance])


def step(model, x, y, training):
  """Each example's loss: reconstruction error + beta divergence."""
  import tensorflow as tf

  del y
  decoded, mean, log_variance = model(x, training=training)
  error = tf.reduce_sum(tf.square(decoded - x), axis=1)
  terms = tf.exp(log_variance) + tf.square(mean) - 1.0 - log_variance
  divergence = 0.5 * tf.reduce_sum(terms, axis=1)
  loss = error + FLAGS.beta * divergence
  return {"loss": loss, "error": error, "divergence": divergence}


def work(strategy):
  """Trains on scikit-learn's digits, without their labels."""
  import keras

  import trainloop
  from training import datasets

  data = datasets.load("digits", None, 0.2, 0, 0, "auto")
  train = trainloop.ArrayData(
    data.x_train, batch_size=FLAGS.batch_size, seed=FLAGS.seed
  )
  valid = trainloop.ArrayData(data.x_val, batch_size=1000)
  loop = trainloop.TrainLoop(
    make_model,
    keras.optimizers.Adam,
    step=step,
    strategy=strategy,
    schedule=run_flags.schedule(train.steps_per_epoch, peak_lr=5e-3),
    **run_flags.options(),
  )
  run_flags.fit(loop, train, valid)
  output.line(f"validation: {loop.evaluate(valid)}")
  if FLAGS.workdir:
    path = os.path.join(FLAGS.workdir, "decoder.keras")
    export.save(path, loop.model.get_layer("decoder").save)
    output.line(f"wrote {path}: two numbers to an image of 8 x 8")


def main(argv):
  del argv
  run_flags.check()
  run_flags.run(work)


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
