"""What hyperparameters leave behind from one update to the next."""

import tensorflow as tf


class Coefficients(tf.Module):
  """Products of coefficients, and values that a user's `step` reads.

  Args:
    products: {coefficient: first value of its product}, floats.
    given: {name: float32 tf.Variable} of what a `step` is called with.

  Attributes:
    products: {coefficient: product of all updates' values, float64}; empty
      where nothing asks for them.
    given: the same; each holds what the last update was given.
  """

  def __init__(self, products=None, given=None):
    super().__init__(name="coefficients")
    self.products = {
      name: tf.Variable(value, dtype=tf.float64, trainable=False)
      for name, value in (products or {}).items()
    }
    self.given = dict(given or {})

  def give(self, values):
    """Has a user's `step` read what an update is given; in graph.

    Args:
      values: {name: float32 scalar} of the update's hyperparameters.
    """
    for name, variable in self.given.items():
      variable.assign(values[name])
