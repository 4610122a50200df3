"""What a fit is asked for that has no effect, or hardly the one that is meant:
a line of warning each, before its first update."""

import keras
import numpy as np

import kernels
from kernels import combined
from trainloop.model import effects, frozen_weights, groups
from trainloop.model.averaging import EMA, CycleAverage
from trainloop.model.groups import DECAY
from trainloop.workdir import fit_plan

_LOOKED_AT = 4096  # steps of a curve


def of(trainee, schedule, at, updates, trainable):
  """The lines of one fit.

  Args:
    trainee: the loop's `Trainee`, built.
    schedule: the fit's `kernels.Schedule`.
    at: the schedule's own step at which the fit begins.
    updates: of the fit.
    trainable: the pattern of what it trains, or None.
  """
  own, _ = combined.parts_of(schedule)
  optimizer = trainee.binding.optimizer
  steps = np.linspace(at, at + updates - 1, min(updates, _LOOKED_AT))
  steps = steps.astype(np.int64)
  rates, _ = kernels.tabulate(own, steps)
  further = []
  if isinstance(optimizer, keras.optimizers.Ftrl):
    further = _of_ftrl(rates)
  if isinstance(optimizer, keras.optimizers.Adafactor):
    done = int(optimizer.iterations.numpy())
    further = _of_adafactor(done, steps - at, rates)
  if isinstance(optimizer, keras.optimizers.Muon):
    further = _of_muon(trainee, schedule)
  return [
    *_of_groups(trainee),
    *_of_phase(trainee, trainable),
    *_of_average(trainee, own, at, updates),
    *further,
  ]


def _of_groups(trainee):
  """Factors that reach nothing."""
  binding, schedules = trainee.binding, trainee.options.schedules
  found = []
  for member in binding.groups.members:
    factor = member.group.weight_decay
    if member.group.freezes and factor not in (0, 1):
      where = f"groups[{member.pattern!r}]"
      found.append(f"{where}: its weight_decay has no effect beside lr=0")
  for member in effects.idle_decays(binding, trainee.model, schedules):
    why = effects.why_idle(binding, trainee.model, member, schedules)
    where = f"groups[{member.pattern!r}]"
    found.append(f"{where}: its weight_decay has no effect: {why}")
  return found


def _of_phase(trainee, trainable):
  """What a pattern names and that stays frozen all the same."""
  if trainable is None:
    return []
  model, own = trainee.model, trainee.binding.groups
  names, places = groups.matches(trainable, model)
  grouped = [names[i] for i in places if i in own.frozen]
  resting, _ = frozen_weights.matched(trainable, model)
  reasons = {
    "groups with lr=0 freeze": grouped,
    "trainable=False in Keras freezes": resting,
  }
  return [
    f"`trainable` matches {frozen_weights.listed(paths)}, which {why}: left as "
    "it is"
    for why, paths in reasons.items()
    if paths
  ]


def _of_average(trainee, schedule, at, updates):
  """Averages that are the weights themselves, or those before training."""
  option, state = trainee.options.average, trainee.state
  if state.average is not None and not state.average.is_empty:
    return []  # it goes on
  found = ""
  if isinstance(option, CycleAverage) and not option.recompute:
    ends = fit_plan.cycle_ends(schedule, at + updates)
    if len(ends.within(at + 1, at + updates + 1)) == 1:
      found = "one cycle ends in this fit, so the average is the weights there"
      found += "; take a schedule with several, or EMA()"
  if isinstance(option, EMA) and option.decay == 0:
    found = "with decay 0 it is the weights themselves"
  elif isinstance(option, EMA) and not option.warmup:
    left = option.decay**updates
    if left > 0.5:
      found = f"after {updates} updates {left:.0%} of it is the weights before "
      found += "training; take a smaller decay, or warmup=True"
  return [f"`average`: {found}"] if found else []


def _of_ftrl(rates):
  """Ftrl divides sums of gradients by the rate that it has now.

  Args:
    rates: float32 (n,), the schedule's, > 0.
  """
  shrinks = (np.maximum.accumulate(rates) / rates).max()
  if shrinks < 1.01:
    return []
  text = "Ftrl computes weights anew in proportion to the rate: where this one "
  text += f"falls, by {shrinks:.3g} in all, they shrink as much, even without "
  return [f"{text}a gradient; a constant rate does not"]


def _of_adafactor(done, steps, rates):
  """Keras' Adafactor bounds the rate twice, once whatever it is set to.

  Args:
    done: updates that it has made.
    steps: int64 (n,), updates of the fit from 0, ascending.
    rates: float32 (n,), the schedule's there.
  """
  bounds = 1 / np.sqrt(done + steps + 1.0)
  above = np.flatnonzero(rates > bounds * (1 + 1e-6))
  if not len(above):
    return []
  worst = above[np.argmax(rates[above] / bounds[above])]
  text = "Adafactor uses a rate of at most 1 / sqrt(updates) in Keras, with "
  text += f"relative_step=False, too: in update {steps[worst]} of this fit "
  return [f"{text}{bounds[worst]:.3g} instead of {rates[worst]:.3g}"]


def _of_muon(trainee, schedule):
  """Muon trains some weights by AdamW, with coefficients of its own."""
  optimizer, moved = trainee.binding.optimizer, trainee.options.schedules
  adams = [v is not None for v in optimizer.adam_velocities]
  found = []
  if schedule.moves_momentum and all(adams):
    text = "Muon trains all weights by AdamW here, with its adam_beta_1"
    found.append(f"the schedule's momentum has no effect: {text}")
  if DECAY in moved and any(adams) and optimizer.adam_weight_decay:
    text = "moves that of weights that Muon trains itself; those trained by "
    text += f"AdamW keep adam_weight_decay={optimizer.adam_weight_decay:g}"
    found.append(f"schedules[{DECAY!r}] {text}")
  return found
