"""The optimizers of Keras again, in plain float64 NumPy: those with one slot
or two of plain sums, and what they all share; see `numpy_adaptive`.

A rule takes (w, g, s, t, rate) and its options: a weight, its gradient, its
slots (a dict, empty at first), the number of the update, from 1, and the rate.
It returns the new weight.
"""

import numpy as np

from support import numpy_adaptive


def sgd(w, g, s, t, rate, momentum=0.0, nesterov=False):
  s["v"] = momentum * s.get("v", 0.0) - rate * g
  return w + (momentum * s["v"] - rate * g if nesterov else s["v"])


def rmsprop(
  w, g, s, t, rate, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False
):
  s["square"] = rho * s.get("square", 0.0) + (1 - rho) * g * g
  s["mean"] = rho * s.get("mean", 0.0) + (1 - rho) * g
  variance = s["square"] - (s["mean"] ** 2 if centered else 0.0)
  step = rate * g / np.sqrt(variance + epsilon)
  s["m"] = momentum * s.get("m", 0.0) + step
  return w - s["m"]


def adagrad(w, g, s, t, rate, initial_accumulator_value=0.1, epsilon=1e-7):
  s["sum"] = s.get("sum", initial_accumulator_value) + g * g
  return w - rate * g / np.sqrt(s["sum"] + epsilon)


def adadelta(w, g, s, t, rate, rho=0.95, epsilon=1e-7):
  s["g"] = rho * s.get("g", 0.0) + (1 - rho) * g * g
  moved = np.sqrt((s.get("d", 0.0) + epsilon) / (s["g"] + epsilon)) * g
  s["d"] = rho * s.get("d", 0.0) + (1 - rho) * moved * moved
  return w - rate * moved


def lion(w, g, s, t, rate, beta_1=0.9, beta_2=0.99):
  m = s.get("m", 0.0)
  s["m"] = beta_2 * m + (1 - beta_2) * g
  return w - rate * np.sign(beta_1 * m + (1 - beta_1) * g)


def ftrl(
  w,
  g,
  s,
  t,
  rate,
  learning_rate_power=-0.5,
  initial_accumulator_value=0.1,
  l1_regularization_strength=0.0,
  l2_regularization_strength=0.0,
  l2_shrinkage_regularization_strength=0.0,
  beta=0.0,
):
  """McMahan et al. 2013, whose lambda_2 is twice Keras' l2; z begins at 0
  whatever the weight is, and a rate that falls makes the sigmas of a weight
  less than what divides it, which shrinks it."""
  before = s.get("n", initial_accumulator_value)
  s["n"] = before + g * g
  roots = [n**-learning_rate_power for n in (before, s["n"])]
  sigma = (roots[1] - roots[0]) / rate
  shrunk = g + 2 * l2_shrinkage_regularization_strength * w
  z = s["z"] = s.get("z", 0.0) + shrunk - sigma * w
  divisor = (beta + roots[1]) / rate + 2 * l2_regularization_strength
  l1 = l1_regularization_strength
  return -np.sign(z) * np.maximum(np.abs(z) - l1, 0.0) / divisor


def muon(
  w,
  g,
  s,
  t,
  rate,
  momentum=0.95,
  nesterov=True,
  ns_steps=5,
  muon_a=3.4445,
  muon_b=-4.7750,
  muon_c=2.0315,
  rms_rate=0.2,
  adam_lr_ratio=1.0,
  adam_beta_1=0.9,
  adam_beta_2=0.999,
  epsilon=1e-7,
  by_adam=False,
):
  """Newton-Schulz's steps are a polynomial of the singular values.

  Args:
    by_adam: whether Adam moves the weight, as it does all but matrices.
  """
  if by_adam or w.ndim != 2:
    betas = adam_beta_1, adam_beta_2
    rate = rate * adam_lr_ratio
    return numpy_adaptive.adam(w, g, s, t, rate, *betas, epsilon)
  m = s["m"] = momentum * s.get("m", 0.0) + g
  u, sizes, v = np.linalg.svd(
    g + momentum * m if nesterov else m, full_matrices=False
  )
  x = sizes / (np.linalg.norm(sizes) + 1e-7)
  for _ in range(ns_steps):
    x = muon_a * x + muon_b * x**3 + muon_c * x**5
  scale = 1.0 if rms_rate is None else rms_rate * np.sqrt(max(w.shape))
  return w - rate * scale * (u * x) @ v


def clipped(gradients, clipnorm=None, clipvalue=None, global_clipnorm=None):
  """Gradients as the one of the three options that is given clips them."""
  if clipvalue is not None:
    return [np.clip(g, -clipvalue, clipvalue) for g in gradients]
  norms = [np.linalg.norm(g) for g in gradients]
  if clipnorm is not None:
    limits = [clipnorm / max(norm, clipnorm) for norm in norms]
  elif global_clipnorm is not None:
    norm = np.linalg.norm(norms)
    limits = [global_clipnorm / max(norm, global_clipnorm)] * len(norms)
  else:
    return gradients
  return [g * limit for g, limit in zip(gradients, limits, strict=True)]


def descend(rule, weights, gradients, rows, decays, clip, options):
  """Weights after some updates: clipped gradients, then decay, then the rule.

  Args:
    rule: one of the functions above.
    weights: float64 arrays.
    gradients: a function: (weights, number of the update from 0) -> arrays.
    rows: (rate, {option: value of this update}) of each update.
    decays: how fast each weight decays, times the rate; 0.0 for one that
      does not.
    clip: the options of `clipped`.
    options: of the rule, one dict a weight.
  """
  slots = [{} for _ in weights]
  for t, (rate, moved) in enumerate(rows):
    slopes = clipped(gradients(weights, t), **clip)
    weights = [
      rule(w - rate * decay * w, g, s, t + 1, rate, **{**own, **moved})
      for w, g, s, decay, own in zip(
        weights, slopes, slots, decays, options, strict=True
      )
    ]
  return weights
