"""The curve of a run that is to come: rate, momentum and what moves beside."""

import numpy as np

from kernels import combined
from trainloop.display import outline
from trainloop.model.scheduled_optimizer import LEARNING_RATE, MOMENTUM


def curve(schedule, first, last, momentum=None, groups=None):
  """The `Outline` of a schedule over its own steps first .. last-1.

  Args:
    schedule: a `kernels.Schedule`, with kernels beside it or not.
    first, last: its own steps, first < last.
    momentum: the optimizer's own as a float, where the schedule has none; or
      None.
    groups: the model's `Groups`, or None.
  """
  own = outline.of(schedule, first, last)
  momenta = own.momenta
  if momenta is None and momentum is not None:
    momenta = np.full_like(own.rates, momentum)
  factors = {} if groups is None else groups.factors
  kernels_of = {**combined.others_of(schedule), **factors}
  others = combined.tabulate_all(kernels_of, own.steps)
  if groups is not None:
    others |= groups.values({**others, LEARNING_RATE: own.rates})
  return own._replace(momenta=momenta, others=others)


def table(curve):
  """What a curve is at its first step, at its highest rate and at its last.

  Args:
    curve: what `curve` gave.

  Returns:
    Rows of texts; the first is the head.
  """
  places = {"first": 0, "peak": int(np.argmax(curve.rates)), "last": -1}
  momenta = {} if curve.momenta is None else {MOMENTUM: curve.momenta}
  series = {LEARNING_RATE: curve.rates, **momenta, **curve.others}
  head = [f"{name}: step {curve.steps[i]}" for name, i in places.items()]
  rows = [
    (name, *(f"{values[i]:.4g}" for i in places.values()))
    for name, values in series.items()
  ]
  return [("plan", *head), *rows]
