"""What an optimizer would not do with what it is given: refused, or said.

A factor on a weight decay that is none, weights of a type that its formula
can't compute in.
"""

import keras
import numpy as np
import tensorflow as tf

from kernels import checks
from trainloop.model.frozen_weights import listed
from trainloop.model.groups import DECAY

_DECAYS = (DECAY, "adam_weight_decay")  # the other one is Muon's
# Their formulas divide or multiply by 1 - beta_2^t.
_POWERS = ("Adam", "AdamW", "Nadam", "Lamb")


def check(binding, model, schedules):
  """Refuses what can hardly be meant.

  Args:
    binding: the optimizer's `Binding`, bound.
    model: the built keras.Model.
    schedules: {hyperparameter: kernel} beside the schedule.

  Raises:
    ValueError: naming argument, value and rule.
  """
  optimizer, variables = binding.optimizer, model.trainable_variables
  _check_types(optimizer, variables, schedules)
  for member in idle_decays(binding, model, schedules):
    factor = member.group.weight_decay
    # A decay of 0.0 that was given may be one of several that are tried.
    if factor != 0 and optimizer.weight_decay != 0.0:
      why = why_idle(binding, model, member, schedules)
      rule = f"left out: {why}"
      checks.fail(f"groups[{member.pattern!r}].weight_decay", factor, rule)
  spared = _spared(optimizer, model) if DECAY in schedules else []
  if DECAY in schedules and len(spared) == len(variables):
    rule = "left out: `exclude_from_weight_decay` spares all weights"
    checks.fail(f"schedules[{DECAY!r}]", schedules[DECAY], rule)


def idle_decays(binding, model, schedules):
  """The groups whose factor on the decay reaches no weight that decays: a list
  of `Member`. Those that are frozen are left out."""
  members = [m for m in binding.groups.members if m.decay is not None]
  members = [m for m in members if not m.group.freezes]
  if members and decays(binding.optimizer, schedules):
    spared = set(_spared(binding.optimizer, model))
    members = [m for m in members if spared.issuperset(m.places)]
  return members


def why_idle(binding, model, member, schedules):
  """Why the factor of one of them has no effect, and what to write."""
  kind = type(binding.optimizer).__name__
  if decays(binding.optimizer, schedules):
    paths = [model.trainable_variables[i].path for i in member.places]
    return f"`exclude_from_weight_decay` spares {listed(paths)}"
  text = f"{kind} has no weight decay for it to multiply"
  return f"{text}; give one as {kind}(weight_decay=0.01) or in `schedules`"


def decays(optimizer, schedules):
  """Whether an optimizer decays weights, by itself or by a kernel."""
  own = any(getattr(optimizer, name, None) for name in _DECAYS)
  return own or DECAY in schedules


def not_decayed(optimizer, model, schedules):
  """Positions of trainable weights that do not decay where others do; None
  where there is nothing to say: no decay, or only a kernel's, of all."""
  found = _spared(optimizer, model) if decays(optimizer, schedules) else []
  return found if found or decays(optimizer, {}) else None


def _spared(optimizer, model):
  """Positions of what `exclude_from_weight_decay` spares."""
  weights = model.trainable_variables
  # Keras keeps its first answer, whoever asks: so with what Keras itself asks
  # with, as a weight's name begins with its layer's only in a tf.Variable.
  if not isinstance(optimizer, keras.optimizers.Muon):
    weights = [v.value for v in weights]
  # Private: nothing public tells what `exclude_from_weight_decay` was given.
  found = [optimizer._use_weight_decay(v) for v in weights]
  return [i for i, one in enumerate(found) if not one]


def _check_types(optimizer, variables, schedules):
  """Refuses weights of a type in which a formula fails."""
  kind = type(optimizer).__name__
  types = {tf.as_dtype(v.dtype): v.path for v in reversed(variables)}
  if isinstance(optimizer, keras.optimizers.Muon):
    own = [v for v in variables if len(v.shape) == 2]
    others = [v for v in own if v.dtype != "float32"]
    if others:
      rule = f"another one for {others[0].path}, which is {others[0].dtype}: "
      checks.fail("optimizer", kind, f"{rule}Muon's step is float32's alone")
  beta_2 = getattr(optimizer, "beta_2", None)
  if kind not in _POWERS or "beta_2" in schedules or not beta_2:
    return
  for dtype, path in types.items():
    if np.asarray(beta_2).astype(dtype.as_numpy_dtype) == 1:
      rule = f"made with a beta_2 that is below 1 in {dtype.name}, the type of "
      rule += f'{path} (or take mixed_precision="{dtype.name}", whose weights '
      checks.fail(
        "optimizer", f"{kind}(beta_2={beta_2:g})", f"{rule}are float32)"
      )
