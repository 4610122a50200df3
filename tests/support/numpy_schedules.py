"""The schedules again, in plain float64 NumPy, one step at a time."""

import math


def cosine(start, end, q):
  return end + (start - end) / 2 * (1 + math.cos(math.pi * q))


def linear(start, end, q):
  return start + (end - start) * q


def cosine_restarts(t, peak, lengths, decay=1.0, floor=0.0, momentum=None):
  """`lengths` are listed by hand; the last one goes on for ever."""
  i = 0
  while t >= lengths[min(i, len(lengths) - 1)]:
    t -= lengths[min(i, len(lengths) - 1)]
    i += 1
  q = t / lengths[min(i, len(lengths) - 1)]
  lr = cosine(peak * decay**i, floor, q)
  return lr, momentum and cosine(momentum[1], momentum[0], q)


def triangular(
  t, base, peak, up, down, scale=lambda cycle, t: 1.0, final=None, momentum=None
):
  cycle, p = divmod(t, up + down)
  high = p / up if p <= up else (up + down - p) / down
  bottom = final if final is not None and p > up else base
  s = scale(cycle, t)
  lr = bottom + (base + (peak - base) * s - bottom) * high
  return lr, momentum and linear(*momentum, high * s)


def one_cycle(t, rates, momenta, ends, curve):
  """Phases end at `ends`; values at the phase borders are listed."""
  starts = [0.0, *ends[:-1]]
  for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
    if t < end:
      q = (t - start) / (end - start)
      lr = curve(rates[i], rates[i + 1], q)
      return lr, momenta and curve(momenta[i], momenta[i + 1], q)
  return rates[-1], momenta and momenta[-1]


def warmup_cosine(t, peak, warmup, total, hold, first, last, momentum=None):
  if t < warmup:
    q, curve = t / warmup, linear
    lr = linear(first, peak, q)
    return lr, momentum and linear(*momentum, q)
  q = min(max(t - warmup - hold, 0) / max(1, total - warmup - hold), 1)
  curve = cosine
  return curve(peak, last, q), momentum and curve(momentum[1], momentum[0], q)


def range_sweep(t, low, high, total, spacing):
  q = min(t / (total - 1), 1)
  if spacing == "linear":
    return linear(low, high, q), None
  return low * (high / low) ** q, None


def polynomial(t, first, last, total, power, cycle):
  length = total * max(1, math.ceil(t / total)) if cycle else total
  t = min(t, length)
  return (first - last) * (1 - t / length) ** power + last, None


def warmup_stable_decay(t, peak, warmup, stable, decay, first, last, shape):
  if t < warmup:
    return linear(first, peak, t / warmup), None
  x = min(max(t - warmup - stable, 0) / decay, 1)
  fallen = {
    "linear": x,
    "cosine": (1 - math.cos(math.pi * x)) / 2,
    "sqrt": math.sqrt(x),
  }[shape]
  return linear(peak, last, fallen), None


def join(t, parts, boundaries):
  """`parts` are references of their own; each sees its own step 0."""
  j = sum(t >= boundary for boundary in boundaries)
  return parts[j](t - (0, *boundaries)[j])


def warm_up(t, part, warmup, first):
  if t >= warmup:
    return part(t - warmup)
  lr, momentum = part(0)
  return linear(first, lr, t / warmup), momentum


def warm_over(t, part, warmup, first):
  """As timm: the line stands in place of the part's first steps."""
  lr, momentum = part(0 if t < warmup else t)
  return linear(first, lr, t / warmup) if t < warmup else lr, momentum
