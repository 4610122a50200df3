"""A generator and its critic on digits: two optimizers, two losses, one loop.

  python scripts/examples/gan.py --workdir=runs/gan
  python scripts/examples/gan.py --kind=wgan_gp --workdir=runs/wgan

dcgan: Radford et al. 2016, "Unsupervised Representation Learning with Deep
Convolutional Generative Adversarial Networks". wgan_gp: Gulrajani et al. 2017,
"Improved Training of Wasserstein GANs": the critic moves in each update, the
generator in each fifth. With a workdir the generator and 64 of its images stay.
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
_NOISE = 16
_PENALTY = 10.0


def define_flags():
  """Defines all flags of the script."""
  flag_rules.integer("batch_size", 32, "size of the global batch [examples]", 1)
  flags.DEFINE_enum("kind", "dcgan", ("dcgan", "wgan_gp"), "the two losses")
  flag_rules.integer(
    "n_critic",
    None,
    "updates of the critic for one of the generator [updates]; unset: 1, or 5 "
    "for wgan_gp",
    1,
  )
  flag_rules.number(
    "critic_lr", 1.0, "the critic's learning rate over the other's [factor]"
  )
  run_flags.define(epochs=30, schedule="constant")


def model_maker(seed):
  """A callable that makes a model of two: `generator` and `critic`."""
  import keras

  layers = keras.layers

  class Adversaries(keras.Model):
    """Called with images it gives the critic's opinion of them."""

    def __init__(self):
      super().__init__()
      self.generator = keras.Sequential(
        [
          layers.Input((_NOISE,)),
          layers.Dense(2 * 2 * 32),
          layers.Reshape((2, 2, 32)),
          layers.LeakyReLU(0.2),
          layers.Conv2DTranspose(32, 4, strides=2, padding="same"),
          layers.LeakyReLU(0.2),
          layers.Conv2DTranspose(
            1, 4, strides=2, padding="same", activation="sigmoid"
          ),
        ],
        name="generator",
      )
      self.critic = keras.Sequential(
        [
          layers.Input((8, 8, 1)),
          layers.Conv2D(32, 4, strides=2, padding="same"),
          layers.LeakyReLU(0.2),
          layers.Conv2D(32, 4, strides=2, padding="same"),
          layers.LeakyReLU(0.2),
          layers.Flatten(),
          layers.Dense(1),
        ],
        name="critic",
      )
      self.seeds = keras.random.SeedGenerator(seed)

    def call(self, images, training=False):
      return self.critic(images, training=training)

    def draw(self, count, training=False):
      """As many images out of noise."""
      noise = keras.random.normal((count, _NOISE), seed=self.seeds)
      return self.generator(noise, training=training)

  return Adversaries


def step_maker(kind):
  """The step of a kind: a loss an optimizer, each example's.

  It reads no flags, so that what a run is compared by is `kind` alone.
  """
  return {"dcgan": _dcgan, "wgan_gp": _wgan_gp}[kind]


def _dcgan(model, x, y, training):
  import tensorflow as tf

  del y
  real = model(x, training=training)[:, 0]
  fake = model(model.draw(tf.shape(x)[0], training), training=training)[:, 0]
  return {
    "generator": tf.math.softplus(-fake),
    "critic": tf.math.softplus(-real) + tf.math.softplus(fake),
    "real_seen": tf.cast(real > 0, tf.float32),
    "fake_seen": tf.cast(fake < 0, tf.float32),
  }


def _wgan_gp(model, x, y, training):
  import keras
  import tensorflow as tf

  del y
  count = tf.shape(x)[0]
  images = model.draw(count, training)
  real, fake = (model(one, training=training)[:, 0] for one in (x, images))
  share = keras.random.uniform((count, 1, 1, 1), seed=model.seeds)
  between = share * x + (1.0 - share) * images
  with tf.GradientTape() as tape:
    tape.watch(between)
    score = model(between, training=training)
  slope = tape.gradient(score, between)
  size = tf.sqrt(tf.reduce_sum(tf.square(slope), axis=[1, 2, 3]) + 1e-12)
  penalty = _PENALTY * tf.square(size - 1.0)
  return {
    "generator": -fake,
    "critic": fake - real + penalty,
    "distance": real - fake,
    "slope": size,
  }


def work(strategy):
  """Trains on scikit-learn's digits, without their labels."""
  import keras
  from sklearn import datasets

  import kernels
  import trainloop

  images = (datasets.load_digits().images[..., None] / 16).astype("float32")
  train = trainloop.ArrayData(
    images, batch_size=FLAGS.batch_size, seed=FLAGS.seed
  )
  wgan = FLAGS.kind == "wgan_gp"
  n_critic = FLAGS.n_critic or (5 if wgan else 1)
  adam, beta_1 = keras.optimizers.Adam, 0.0 if wgan else 0.5
  schedule = run_flags.schedule(train.steps_per_epoch, peak_lr=1e-3)
  loop = trainloop.TrainLoop(
    model_maker(FLAGS.seed),
    {
      "generator": trainloop.Part(lambda: adam(beta_1=beta_1), every=n_critic),
      "critic": lambda: adam(beta_1=beta_1),
    },
    step=step_maker(FLAGS.kind),
    strategy=strategy,
    schedule={
      "generator": schedule,
      "critic": kernels.Scaled(schedule, FLAGS.critic_lr),
    },
    **run_flags.options(train.steps_per_epoch),
  )
  run_flags.fit(loop, train)
  if FLAGS.workdir:
    _keep(loop.model)


def _keep(model):
  """Writes the generator and a picture of what it draws."""
  import numpy as np
  from matplotlib import image

  path = os.path.join(FLAGS.workdir, "generator.keras")
  run_flags.save(path, model.generator.save)
  drawn = np.asarray(model.draw(64))[..., 0].reshape(8, 8, 8, 8)
  sheet = drawn.transpose(0, 2, 1, 3).reshape(64, 64).repeat(4, 0).repeat(4, 1)
  picture = os.path.join(FLAGS.workdir, "samples.png")
  run_flags.save(picture, lambda name: image.imsave(name, sheet, cmap="gray"))
  output.line(f"wrote {path} and {picture}: 64 images")


def main(argv):
  del argv
  run_flags.check()
  run_flags.run(work)


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
