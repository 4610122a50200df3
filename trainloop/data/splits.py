"""Which examples are held out."""

import math

import numpy as np

from kernels import checks


def indices(examples, fraction, seed=None, labels=None):
  """Indices of examples that stay, and of those held out, both rising.

  Without a seed the last ones are held out, floor(n (1 - fraction)) stay: as
  Keras' `validation_split`. With one they are drawn. With labels each class
  gives its share of as many, rounded so that they add up; a class's last
  example stays.

  Args:
    examples: how many there are, int.
    fraction: to be held out, in (0, 1).
    seed: int >= 0, or None.
    labels: class of each example, shape (examples,), or None.

  Returns:
    (int64 indices, int64 indices).

  Raises:
    ValueError: if an argument breaks its rule or one part would be empty.
  """
  rule = "a number in (0, 1)"
  checks.number("fraction", fraction, rule, lambda v: 0 < v < 1)
  if seed is not None:
    checks.integer("seed", seed, 0, 2**63 - 1)
  draw = None if seed is None else np.random.default_rng(seed)
  every = np.arange(examples)
  parts = [every]
  if labels is not None:
    parts = [np.flatnonzero(labels == one) for one in np.unique(labels)]
  stay, held = [], []
  for part, count in zip(parts, _stay(parts, fraction), strict=True):
    part = part if draw is None else draw.permutation(part)
    stay.append(part[:count])
    held.append(part[count:])
  stay, held = np.sort(np.concatenate(stay)), np.sort(np.concatenate(held))
  if not len(stay) or not len(held):
    rule = f"one that leaves examples on both sides, of {examples}"
    checks.fail("fraction", fraction, rule)
  return stay, held


def _stay(parts, fraction):
  """How many of each part stay, by largest remainders; at least one of each."""
  sizes = np.array([len(part) for part in parts])
  shares = sizes * (1.0 - fraction)
  whole = np.floor(shares).astype(int)
  missing = math.floor(sizes.sum() * (1.0 - fraction)) - int(whole.sum())
  whole[np.argsort(whole - shares, kind="stable")[:missing]] += 1
  return np.maximum(whole, 1) if len(parts) > 1 else whole
