"""Adam and its kin in plain float64 NumPy; see `numpy_optimizers`.

Keras' epsilon is the "epsilon hat" of Kingma & Ba in `adam` alone: there it
stands beside the root of a moment that is not divided yet.
"""

import numpy as np


def _moments(g, s, beta_1, beta_2):
  s["m"] = beta_1 * s.get("m", 0.0) + (1 - beta_1) * g
  s["v"] = beta_2 * s.get("v", 0.0) + (1 - beta_2) * g * g
  return s["m"], s["v"]


def adam(
  w, g, s, t, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7, amsgrad=False
):
  m, v = _moments(g, s, beta_1, beta_2)
  if amsgrad:
    v = s["most"] = np.maximum(s.get("most", 0.0), v)
  m_hat = m / (1 - beta_1**t)
  return w - rate * m_hat * np.sqrt(1 - beta_2**t) / (np.sqrt(v) + epsilon)


def adamax(w, g, s, t, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
  s["m"] = beta_1 * s.get("m", 0.0) + (1 - beta_1) * g
  s["u"] = np.maximum(beta_2 * s.get("u", 0.0), np.abs(g))
  return w - rate * s["m"] / (1 - beta_1**t) / (s["u"] + epsilon)


def nadam(w, g, s, t, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
  """Dozat 2016: the momentum warms up, and its product divides."""
  m, v = _moments(g, s, beta_1, beta_2)
  now, after = (beta_1 * (1 - 0.5 * 0.96**i) for i in (t, t + 1))
  product = s["product"] = s.get("product", 1.0) * now
  ahead = after * m / (1 - product * after) + (1 - now) * g / (1 - product)
  return w - rate * ahead / (np.sqrt(v / (1 - beta_2**t)) + epsilon)


def lamb(w, g, s, t, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
  """You et al. 2020, but with the decay outside of the trust ratio."""
  m, v = _moments(g, s, beta_1, beta_2)
  step = m / (1 - beta_1**t) / (np.sqrt(v / (1 - beta_2**t)) + epsilon)
  sizes = np.linalg.norm(w), np.linalg.norm(step)
  trust = sizes[0] / sizes[1] if min(sizes) > 0 else 1.0
  return w - rate * trust * step


def adafactor(
  w,
  g,
  s,
  t,
  rate,
  beta_2_decay=-0.8,
  epsilon_1=1e-30,
  epsilon_2=1e-3,
  clip_threshold=1.0,
  relative_step=True,
):
  """Shazeer & Stern 2018. The rate is never above 1 / sqrt(t), whatever
  `relative_step` says: Keras bounds it twice."""
  beta_2 = 1 - t**beta_2_decay
  square = g * g + epsilon_1
  for name, axes in {"r": -1, "c": -2}.items() if w.ndim > 1 else [("v", ())]:
    mean = square.mean(axis=axes, keepdims=True)
    s[name] = beta_2 * s.get(name, 0.0) + (1 - beta_2) * mean
  factored = s["r"] * s["c"] / s["r"].mean() if w.ndim > 1 else s["v"]
  step = g / np.sqrt(factored)
  step = step / max(1.0, _rms(step) / clip_threshold)
  return w - max(epsilon_2, _rms(w)) * min(rate, 1 / np.sqrt(t)) * step


def _rms(x):
  return np.sqrt(np.mean(x * x))
