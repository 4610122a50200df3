"""A learning rate for another batch size."""

import math

from kernels import checks

_RULES = ("linear", "sqrt")


def scaled_to_batch(lr, batch, base=256, rule="linear"):
  """A learning rate that was found for one batch size, for another.

  lr batch / base, or lr sqrt(batch / base).

  Args:
    lr: rate that suits the batch size `base`, finite, >= 0.
    batch: examples of an update, int >= 1.
    base: examples of an update that `lr` is for, int >= 1.
    rule: "linear", for SGD (Goyal et al. 2017, "Accurate, Large Minibatch
      SGD"), or "sqrt", for Adam and the like (Malladi et al. 2022, "On the
      SDEs and Scaling Rules for Adaptive Gradient Algorithms").

  Returns:
    A float.

  Raises:
    ValueError: if an argument breaks its rule.

  >>> kernels.scaled_to_batch(0.1, 1024), kernels.scaled_to_batch(
  ...   0.1, 1024, rule="sqrt")
  (0.4, 0.2)
  """
  lr = checks.rate("lr", lr)
  share = checks.integer("batch", batch, 1) / checks.integer("base", base, 1)
  linear = checks.choice("rule", rule, _RULES) == "linear"
  return lr * (share if linear else math.sqrt(share))
