"""Adam's divisors under moving betas: 1 - prod beta(i), with "exact".

Adam's first moment starts at zero and is divided by the weight its gradients
have so far. That is 1 - prod beta_1(i); Keras (like torch) divides by
1 - beta_1(t)^t, which is the same only while beta_1 stands still. The loop
keeps the product in its state; a factor on the learning rate, which stands
beside the divisor in the update, replaces the one by the other.
"""

import keras
import tensorflow as tf

from kernels import checks

_NAMES = ("keras", "exact")
# Their divisor is 1 - beta_1^t and stands beside the learning rate. Nadam's
# is a running product already.
_ABLE = ("Adam", "AdamW", "Adamax", "Lamb")


def is_exact(name, optimizer):
  """Whether the divisor is the exact one.

  Args:
    name: "keras" or "exact".
    optimizer: a Keras optimizer.

  Returns:
    A bool.

  Raises:
    ValueError: if the name is unknown, or the optimizer's update is not one
      that "exact" is for.
  """
  if checks.choice("bias_correction", name, _NAMES) == "keras":
    return False
  steps = [getattr(keras.optimizers, able).update_step for able in _ABLE]
  if type(optimizer).update_step not in steps:
    kind, able = type(optimizer).__name__, ", ".join(_ABLE)
    rule = f"'keras' for {kind} ('exact' is for {able})"
    checks.fail("bias_correction", name, rule)
  return True


def first_products(optimizer, moved):
  """{"beta_1", "beta_2": product over the updates an optimizer has behind it},
  floats; they are taken to have had its own coefficients.

  Args:
    optimizer: a Keras optimizer for which `is_exact` holds.
    moved: names of the hyperparameters that kernels of their own move. Without
      "beta_2" among them its product is Keras' own power, and not asked for.

  Raises:
    ValueError: if beta_2 moves where its divisor is under a root with epsilon.
  """
  names = ["beta_1"]
  if "beta_2" in moved:
    steps = [keras.optimizers.Adam, keras.optimizers.AdamW]
    if type(optimizer).update_step not in [one.update_step for one in steps]:
      kind = type(optimizer).__name__
      rule = f"'keras' for {kind} under a moving beta_2"
      checks.fail("bias_correction", "exact", rule)
    names.append("beta_2")
  count = int(optimizer.iterations.numpy())
  return {name: float(getattr(optimizer, name)) ** count for name in names}


def coefficients(optimizer, values):
  """{"beta_1", "beta_2": float32 scalar} of an update; in graph.

  Args:
    optimizer: a Keras optimizer, whose own holds where none is given.
    values: {name: float32 scalar} of the hyperparameters that move.
  """
  names = {"beta_1": "momentum", "beta_2": "beta_2"}
  return {
    name: values.get(given, tf.constant(getattr(optimizer, name), tf.float32))
    for name, given in names.items()
  }


def factor(optimizer, given, products):
  """Keras' divisor over the exact one, a float32 scalar; in graph.

  (1 - beta_1^t) / (1 - prod beta_1(i)), and where beta_2 moves, too, times
  sqrt((1 - prod beta_2(i)) / (1 - beta_2^t)).

  Args:
    optimizer: a Keras optimizer, for the number of the coming update.
    given: what `coefficients` gave for that update.
    products: {name: float64 scalar, prod beta(i), that update's included}.
  """
  t = tf.cast(optimizer.iterations + 1, tf.float32)
  quotients = {}
  for name, product in products.items():
    # Rounded as Keras rounds it, so that the two cancel.
    divisor = tf.cast(1.0 - tf.pow(given[name], t), tf.float64)
    quotients[name] = divisor / (1.0 - product)
  value = quotients["beta_1"]
  if "beta_2" in quotients:
    value = value / tf.sqrt(quotients["beta_2"])
  return tf.cast(value, tf.float32)


def corrected(optimizer, correction):
  """An optimizer's `update_step` with the learning rate times a factor.

  Only the rate that reaches `update_step` has it: weight decay is applied
  before, and the rate that is kept and logged is the scheduled one.

  Args:
    optimizer: a Keras optimizer for which `is_exact` holds.
    correction: float32 scalar, see `factor`.

  Returns:
    A function to stand in for `optimizer.update_step`.
  """
  update_step = optimizer.update_step
  is_lamb = type(optimizer).update_step is keras.optimizers.Lamb.update_step

  def step(gradient, variable, learning_rate):
    scale = correction
    if is_lamb:  # its trust ratio takes any divisor out again, save at w = 0
      zero = tf.equal(tf.reduce_sum(tf.square(variable)), 0)
      scale = tf.where(zero, scale, 1.0)
    rate = keras.ops.cast(learning_rate, "float32") * scale
    return update_step(gradient, variable, rate)

  return step
