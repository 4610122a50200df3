"""One schedule of every kind that a user can make, by a number."""

import dataclasses
import functools

import keras
import numpy as np
import tensorflow as tf

import kernels

K = keras.optimizers.schedules


class Bare(K.LearningRateSchedule):
  """Keras' kind, without get_config."""

  def __init__(self, rate):
    self.rate = rate

  def __call__(self, step):
    return self.rate + 0.0 * tf.cast(step, tf.float32)


class Silent(Bare):
  """Its config leaves out what it depends on."""

  def get_config(self):
    return {}


class Longer(K.CosineDecay):
  """Its parent's config, and an attribute of its own."""

  def __init__(self, factor):
    super().__init__(0.1, 40)
    self.factor = factor

  def __call__(self, step):
    return self.factor * super().__call__(step)


class Around(K.LearningRateSchedule):
  """One Keras schedule in another."""

  def __init__(self, rate):
    self.inner = Bare(rate)

  def __call__(self, step):
    return 0.5 * self.inner(step)


class Plain(kernels.Schedule):
  """No dataclass of its own."""

  total_steps = None

  def __init__(self, rate):
    self.rate = rate

  def compute(self, step):
    return self.rate * tf.ones_like(step, tf.float64), None


class More(kernels.Constant):
  """A built-in kernel with an attribute of its own."""

  def __init__(self, factor):
    super().__init__(0.1)
    self.factor = factor

  def compute(self, step):
    rate, momentum = super().compute(step)
    return self.factor * rate, momentum


class Halved(kernels.interop.KerasSchedule):
  """Keras' schedule by a kernel of its own."""

  def __init__(self, rate):
    super().__init__(K.CosineDecay(0.1, 40))
    self.rate = rate

  def compute(self, step):
    rate, momentum = super().compute(step)
    return self.rate * rate, momentum


@dataclasses.dataclass(frozen=True)
class Table(kernels.Schedule):
  """A field that is an array; its repr leaves most of it out."""

  rates: np.ndarray

  total_steps = None

  def compute(self, step):
    at = tf.minimum(step, len(self.rates) - 1)
    return tf.gather(tf.constant(self.rates, tf.float64), at), None


@dataclasses.dataclass(frozen=True)
class Derived(kernels.Schedule):
  """A field that is not compared, and a value that is worked out."""

  rate: float = dataclasses.field(compare=False)

  total_steps = None

  @functools.cached_property
  def half(self):
    return 0.5 * self.rate

  def compute(self, step):
    return self.half * tf.ones_like(step, tf.float64), None


@dataclasses.dataclass(frozen=True)
class Function(kernels.Schedule):
  """A field that is a function, equal to itself only."""

  rate_of: object

  total_steps = None

  def compute(self, step):
    return self.rate_of(tf.cast(step, tf.float64)), None


def table(rate):
  rates = np.full(2000, 0.1)
  rates[5:] = rate
  return Table(rates)


def in_a_function(rate):
  class Local(kernels.Schedule):
    total_steps = None

    def compute(self, step):
      return rate * tf.ones_like(step, tf.float64), None

  return Local()


# How one is made of a number; whether two of the same number are equal.
BY_VALUE = {
  "keras": lambda rate: kernels.from_keras(Bare(rate)),
  "keras_silent": lambda rate: kernels.from_keras(Silent(rate)),
  "keras_subclass": lambda rate: kernels.from_keras(Longer(rate)),
  "keras_nested": lambda rate: kernels.from_keras(Around(rate)),
  "plain": Plain,
  "kernel_subclass": More,
  "wrapper_subclass": Halved,
  "array": table,
  "not_compared": Derived,
  "joined": lambda rate: kernels.Join([Plain(0.1), Plain(rate)], [5]),
  "through_keras": lambda rate: kernels.interop.KerasSchedule(
    kernels.as_keras(More(rate))
  ),
  "from_function": lambda rate: kernels.from_function(
    lambda epoch: rate / (1 + epoch), 4, 3
  ),
}
BY_IDENTITY = {
  "function": lambda rate: Function(lambda t: rate + 0.0 * t),
  "in_a_function": in_a_function,
}
MADE = {**BY_VALUE, **BY_IDENTITY}
