"""An actor and a critic that balance a pole, the cart in the graph with them.

  python scripts/examples/actor_critic.py --workdir=runs/pole

A batch is of starting states; the step plays an episode from each, and gives a
loss for each of two optimizers: the actor's by the advantage, the critic's by
the error of its value. Barto, Sutton and Anderson 1983, "Neuronlike Adaptive
Elements That Can Solve Difficult Learning Control Problems" (the cart, as
OpenAI's CartPole-v1 has it); Sutton and Barto 2018, section 13.5.
"""

import pathlib
import sys

# The folder that has cli/; a copy of this script has it beside itself.
sys.path.insert(1, str(pathlib.Path(__file__).resolve().parent.parent))

from absl import app, flags

from cli import flag_rules, run_flags
from cli.light import output

FLAGS = flags.FLAGS
_FORCE, _SECONDS, _GRAVITY = 10.0, 0.02, 9.8
_POLE, _HALF_LENGTH, _CART = 0.1, 0.5, 1.0  # kg, m, kg
_WIDEST, _STEEPEST = 2.4, 0.2095  # m, radians: beyond them an episode ends


def define_flags():
  """Defines all flags of the script."""
  flag_rules.integer("batch_size", 32, "episodes of an update [examples]", 1)
  flag_rules.integer("longest", 200, "most moves of an episode [moves]", 2)
  flag_rules.integer("hidden", 32, "size of either network [units]", 1)
  flag_rules.number("discount", 0.98, "of later rewards [factor]", high=1.0)
  flag_rules.number(
    "critic_lr", 2.0, "the critic's learning rate over the actor's [factor]"
  )
  run_flags.define(epochs=5, schedule="constant")


def model_maker(units, seed):
  """A callable that makes a model of two: `actor` and `critic`."""
  import keras

  layers = keras.layers

  def network(name):
    hidden = layers.Dense(units, activation="tanh")
    return keras.Sequential(
      [layers.Input((4,)), hidden, layers.Dense(1)], name=name
    )

  class Player(keras.Model):
    """States to (log odds of a push to the right, values)."""

    def __init__(self):
      super().__init__()
      self.actor, self.critic = network("actor"), network("critic")
      self.seeds = keras.random.SeedGenerator(seed)

    def call(self, states, training=False):
      return self.actor(states)[..., 0], self.critic(states)[..., 0]

  return Player


def step_maker(longest, discount):
  """The step: plays episodes, and gives both losses of each.

  It reads no flags, so that what a run is compared by is its arguments alone.
  """
  import tensorflow as tf

  def step(model, x, y, training):
    del y, training
    states, rights, alive = map(tf.stop_gradient, _play(model, x, longest))
    odds, values = model(tf.reshape(states, [-1, 4]))
    odds, values = (tf.reshape(one, tf.shape(alive)) for one in (odds, values))
    gains = _discounted(alive, discount, longest)
    signs = 2.0 * rights - 1.0
    log_chance = -tf.math.softplus(-signs * odds)
    advantage = tf.stop_gradient(gains - values)
    return {
      "actor": -tf.reduce_mean(alive * log_chance * advantage, axis=0),
      "critic": tf.reduce_mean(alive * tf.square(gains - values), axis=0),
      "moves": tf.reduce_sum(alive, axis=0),
    }

  return step


def _play(model, states, longest):
  """(states, pushes to the right, alive) of all moves, each (moves, episodes,
  ...); 1 for a push to the right, and while the pole has not fallen."""
  import keras
  import tensorflow as tf

  arrays = [tf.TensorArray(tf.float32, longest) for _ in range(3)]

  def move(i, states, alive, *arrays):
    odds, _ = model(states)
    chance = tf.sigmoid(odds)
    drawn = keras.random.uniform(tf.shape(chance), seed=model.seeds)
    right = tf.cast(drawn < chance, tf.float32)
    made = zip(arrays, (states, right, alive), strict=True)
    arrays = [array.write(i, value) for array, value in made]
    states = _cart(states, right)
    stands = (tf.abs(states[:, 0]) < _WIDEST) & (
      tf.abs(states[:, 2]) < _STEEPEST
    )
    return i + 1, states, alive * tf.cast(stands, tf.float32), *arrays

  _, _, _, *arrays = tf.while_loop(
    lambda i, *_: i < longest,
    move,
    (0, states, tf.ones_like(states[:, 0]), *arrays),
    maximum_iterations=longest,
  )
  return [array.stack() for array in arrays]


def _cart(states, right):
  """The states 0.02 s later, by Euler's method."""
  import tensorflow as tf

  _, speed, angle, turning = tf.unstack(states, axis=1)
  mass, moment = _CART + _POLE, _POLE * _HALF_LENGTH
  sine, cosine = tf.sin(angle), tf.cos(angle)
  push = _FORCE * (2.0 * right - 1.0)
  shared = (push + moment * tf.square(turning) * sine) / mass
  bend = _GRAVITY * sine - cosine * shared
  bend /= _HALF_LENGTH * (4.0 / 3.0 - _POLE * tf.square(cosine) / mass)
  pull = shared - moment * bend * cosine / mass
  rates = (speed, pull, turning, bend)
  return states + _SECONDS * tf.stack(rates, axis=1)


def _discounted(alive, discount, longest):
  """What each move earns from there on: a reward of 1 a move, discounted."""
  import tensorflow as tf

  def back(gain, reward):
    return reward + discount * gain

  gains = tf.scan(back, alive, tf.zeros_like(alive[0]), reverse=True)
  return gains * (1.0 - discount)  # of a size that networks learn


def work(strategy):
  """Trains on starting states near the middle."""
  import keras
  import numpy as np

  import kernels
  import trainloop

  rng = np.random.default_rng(FLAGS.seed)
  starts = rng.uniform(-0.05, 0.05, (40 * 32, 4)).astype("float32")
  train = trainloop.ArrayData(
    starts[:-256], batch_size=FLAGS.batch_size, seed=FLAGS.seed
  )
  valid = trainloop.ArrayData(starts[-256:], batch_size=256)
  schedule = run_flags.schedule(train.steps_per_epoch, peak_lr=1e-2)
  adam = keras.optimizers.Adam
  loop = trainloop.TrainLoop(
    model_maker(FLAGS.hidden, FLAGS.seed),
    {"actor": lambda: adam(), "critic": lambda: adam()},
    step=step_maker(FLAGS.longest, FLAGS.discount),
    strategy=strategy,
    schedule={
      "actor": schedule,
      "critic": kernels.Scaled(schedule, FLAGS.critic_lr),
    },
    **run_flags.options(train.steps_per_epoch),
  )
  run_flags.fit(loop, train, valid)
  moves = loop.evaluate(valid)["moves"]
  output.line(f"the pole stands for {moves:.1f} of {FLAGS.longest} moves")


def main(argv):
  del argv
  run_flags.check()
  run_flags.run(work)


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
