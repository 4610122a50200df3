"""What must be the same for a run to go on where it ended."""

import dataclasses
import json
import zlib

import numpy as np

import kernels
from kernels import combined
from trainloop.base import strict_json
from trainloop.data import identity
from trainloop.model import effects
from trainloop.workdir import agreement, model_identity, optimizer_config
from trainloop.workdir.description import Description

_CURVE = 1 << 14  # steps of a curve that are compared


@dataclasses.dataclass(frozen=True)
class Identity:
  """What a fit is, to be compared after a restart.

  Attributes:
    values: {name: JSON value}; durations as steps.
    not_compared: what is left out, and how much of a dataset is known, in
      words; "" for nothing.
  """

  values: dict
  not_compared: str = ""


def of(trainee, engine, data, lengths, schedule, extra, made=None):
  """The `Identity` of a fit.

  Args:
    trainee: the loop's `Trainee`, built.
    engine: the `Engine` that compiles.
    data: (data source of training, that of validation or None).
    lengths: the fit's `Lengths`.
    schedule: its `kernels.Schedule`.
    extra: {argument name: value} of the loop, of JSON types.
    made: what `made` gave, if the fit will be compared with the run of a
      workdir or that of other workers; None if not: then nothing is asked that
      takes time.
  """
  steps = {k: n for k, n in lengths._asdict().items() if n is not None}
  describe = Description()
  values = {
    **(_data(trainee, data, describe) if made else {}),
    **steps,
    "engine": engine.name,
    **extra,
    **_training(trainee, describe),
    **_schedules(schedule, lengths.updates),
    **_groups(trainee, lengths.updates),
    "bias_correction": "exact" if trainee.binding.exact else "keras",
    **(made.values if made else {}),
  }
  left_out = [*(made.left_out if made else ()), *describe.left_out]
  return Identity(agreement.plain(values), _text(left_out, values))


def _text(left_out, values):
  parts = [f"not compared: {', '.join(left_out)}"] if left_out else []
  names = [n for n in ("data", "validation") if "spec" in values.get(n, {})]
  if names:
    first = f"at most its first {identity.BATCHES} batches"
    parts.append(f"{' and '.join(names)} known by {first}, and its arrays")
  return "; ".join(parts)


@dataclasses.dataclass(frozen=True)
class Made:
  """What a loop was made of: the same for all its fits."""

  values: dict
  left_out: list


def made(trainee):
  """The `Made` of a trainee; asked before its first update."""
  describe, options = Description(), trainee.options
  goal = options.goal
  values = {
    "seed": options.seed,
    "random_seed": _of_chief(trainee, options.random_seed),
    "loss": describe.of(goal.loss, "loss"),
    "loss_weights": describe.of(goal.loss_weights, "loss_weights"),
    "metrics": describe.of(goal.metrics, "metrics"),
    "step": describe.of(goal.step, "step"),
    **_weighted_metrics(goal, describe),
    **_initial_weights(options.initial_weights),
    "model": {
      **model_identity.of(trainee.model, describe),
      "frozen": model_identity.frozen(trainee.model),
    },
  }
  return Made(values, describe.left_out)


def _weighted_metrics(goal, describe):
  if goal.weighted_metrics is None:
    return {}
  value = describe.of(goal.weighted_metrics, "weighted_metrics")
  return {"weighted_metrics": value}


def _initial_weights(weights):
  return {} if weights is None else {"initial_weights": weights.identity}


def _schedules(schedule, steps):
  """The schedule, and the kernels beside it by the names of what they move."""
  own, beside = combined.parts_of(schedule)
  found = {name: _planned(one, steps) for name, one in beside.items()}
  schedules = {"schedules": found} if found else {}
  return {"schedule": _planned(own, steps), **schedules}


def _planned(schedule, steps):
  """A schedule's config; and its curve's checksum, where that may say more.

  What a class of a user's holds beside its config, and what its code says, is
  seen in the values only.
  """
  config, foreign = schedule.to_config(), schedule.foreign
  if not foreign:
    return config
  # The values say what JSON can't; a repr has addresses of this process.
  text = strict_json.dumps(config, default=lambda value: type(value).__name__)
  at = np.linspace(0, steps - 1, min(steps, _CURVE)).astype(np.int64)
  rates, momenta = kernels.tabulate(schedule, at)
  momenta = b"" if momenta is None else momenta.tobytes()
  crc32 = zlib.crc32(rates.tobytes() + momenta)
  names = ", ".join(dict.fromkeys(foreign))
  values = f"{crc32:08x}, crc32 of {steps} steps of {names}"
  return {**json.loads(text), "values": values}


def _groups(trainee, steps):
  """Parameter groups; {} without. With the names of `schedules` they say which
  columns rows have."""
  found = {}
  for member in trainee.binding.groups.members:
    found[member.pattern] = {
      name: _planned(value, steps)
      if isinstance(value, kernels.Schedule)
      else value
      for name, value in vars(member.group).items()
    }
  return {"groups": found} if found else {}


def _data(trainee, data, describe):
  """What tells the data of training and validation from others."""
  source, validation = data
  dataset = _dataset(trainee, source, describe, "data")
  values = dict(source.identity) if dataset is None else {"data": dataset}
  if validation is None:
    return values
  other = _dataset(trainee, validation, describe, "validation")
  if other is None:
    names = ("num_examples", "data_crc32")
    other = {name: validation.identity[name] for name in names}
  return {**values, "validation": other}


def _dataset(trainee, source, describe, path):
  """A dataset as the chief sees it, on all workers; None for arrays."""
  dataset = identity.of(source, describe, path)
  if dataset is None:
    return None
  return _of_chief(trainee, {**source.identity, **dataset})


def _of_chief(trainee, value):
  """A JSON value of the chief's on all workers."""
  return json.loads(
    trainee.workers.from_chief(strict_json.dumps(value).encode())
  )


def _training(trainee, describe):
  """What training depends on besides data and schedule."""
  optimizer = trainee.binding.optimizer
  # The schedule is compared on its own; names count objects of a process.
  apart = ("learning_rate", "name")
  config = {
    name: describe.of(value, f"optimizer.{name}")
    for name, value in optimizer_config.of(optimizer).items()
    if name not in apart
  }
  kind = {"kind": type(optimizer).__name__}
  own = describe.own(optimizer, "optimizer")
  stopping, plateau = (
    None if o is None else repr(o) for o in trainee.options.judging
  )
  average = trainee.options.average
  return {
    "optimizer": {**kind, **config, **own, **_decay(trainee)},
    "early_stopping": stopping,
    "reduce_on_plateau": plateau,
    "average": average and repr(average),
    **trainee.options.numerics.identity,
  }


def _decay(trainee):
  """Which weights do not decay, by their positions, where others do."""
  optimizer, schedules = trainee.binding.optimizer, trainee.options.schedules
  places = effects.not_decayed(optimizer, trainee.model, schedules)
  return {} if places is None else {"not_decayed": places}
