"""What a range sweep says: smoothed losses, and learning rates to take."""

import numpy as np

# As fastai's lr_find: the first tenth of the steps asked for and the last five
# points are left out before a rate is suggested.
_LEFT_OUT = 5
_SLIDE_STEPS, _SLIDE_SLOPE = 15, 0.005
_AVERAGE = 20
# The automatic range: where the loss passes these shares of its fall.
_LOW, _HIGH = 0.5, 0.05


def ema(losses, beta):
  """Exponential moving average with bias correction, float64.

  s_t = (1 - beta) sum beta^(t - i) losses_i / (1 - beta^(t + 1)).

  Args:
    losses: one a step.
    beta: in [0, 1); 0 leaves the losses as they are.
  """
  smoothed, mean = np.empty(len(losses)), 0.0
  for i, loss in enumerate(np.asarray(losses, np.float64)):
    mean = beta * mean + (1 - beta) * loss
    smoothed[i] = mean / (1 - beta ** (i + 1))
  return smoothed


def centred(losses, size=_AVERAGE):
  """Centred moving average: of up to `size` losses around each, float64."""
  total = np.concatenate([[0.0], np.cumsum(np.asarray(losses, np.float64))])
  at = np.arange(len(losses))
  low = np.maximum(at - size // 2, 0)
  high = np.minimum(at + size - size // 2, len(losses))
  return (total[high] - total[low]) / (high - low)


def changes(losses, size=_AVERAGE):
  """Loss change a step, a moving average over the last `size` steps.

  (losses_t - losses_{t - size}) / size; 0 for the first `size` steps.
  """
  losses = np.asarray(losses, np.float64)
  differences = np.zeros(len(losses))
  differences[size:] = (losses[size:] - losses[:-size]) / size
  return differences


def suggest(rates, smoothed, steps):
  """fastai's four suggestions.

  Args:
    rates, smoothed: learning rates and smoothed losses, one a step done.
    steps: updates that were asked for.

  Returns:
    {"valley", "slide", "steep", "minimum"}: float, NaN where the sweep has too
    few points for it.
  """
  part = slice(steps // 10, -_LEFT_OUT)
  rates = np.asarray(rates, np.float64)[part]
  losses = np.asarray(smoothed, np.float64)[part]
  rates_by_name = {}
  for name, (rule, least) in _RULES.items():
    enough = len(rates) >= least
    rates_by_name[name] = float(rule(rates, losses)) if enough else float("nan")
  return rates_by_name


def valley(rates, losses):
  """In the middle of the longest valley: a longest falling subsequence."""
  length = np.ones(len(losses), np.int64)
  for i in range(1, len(losses)):
    above = length[:i][losses[:i] > losses[i]]
    length[i] = 1 + (above.max() if above.size else 0)
  end = int(np.argmax(length))
  if length[end] == 1:  # it never falls
    return rates[0]
  # The start is counted back by the subsequence's length; it may be -1.
  start = end - int(length[end])
  third = (end - start) / 3
  return rates[start + int(third) + int(third / 2)]


def slide(rates, losses):
  """Where a window slid in from the right has equal slopes at its ends."""
  slope = np.gradient(losses)
  right, left = len(losses) - 1, len(losses) - 1 - _SLIDE_STEPS
  found = rates[left]
  while left >= 0 and abs(slope[right] - slope[left]) > _SLIDE_SLOPE:
    found = rates[left]
    right, left = right - 1, left - 1
  return found


def steep(rates, losses):
  """Where the loss falls fastest by the logarithm of the rate."""
  return rates[np.argmin(np.diff(losses) / np.diff(np.log(rates)))]


def minimum(rates, losses):
  """A tenth of the rate with the least loss."""
  return rates[np.argmin(losses)] / 10


_RULES = {
  "valley": (valley, 1),
  "slide": (slide, _SLIDE_STEPS + 1),
  "steep": (steep, 2),
  "minimum": (minimum, 1),
}


def fastest(rates, losses):
  """The rate at which the loss falls fastest over 20 steps; NaN if never."""
  change = changes(losses)
  if not (change < 0).any():
    return float("nan")
  return float(rates[np.argmin(change)])


def automatic_range(rates, losses):
  """(low, high): between which learning rates a cyclical schedule may move.

  Both are read from the centred moving average of the losses, between its
  minimum and its highest value before that; delta is the difference of the
  two. From that highest value on, low is the rate at which the average first
  is at most min + 0.5 delta, high that at which it is at most min + 0.05 delta.

  Args:
    rates, losses: learning rates and raw losses, one a step done.

  Returns:
    Two floats; (NaN, NaN) where the loss never falls.
  """
  mean = centred(losses)
  last = int(np.argmin(mean)) if len(mean) else 0
  first = int(np.argmax(mean[: last + 1])) if last else 0
  if first == last:
    return float("nan"), float("nan")
  stretch = mean[first : last + 1]
  low, delta = stretch.min(), stretch.max() - stretch.min()
  return tuple(
    float(rates[first + int(np.argmax(stretch <= low + share * delta))])
    for share in (_LOW, _HIGH)
  )
