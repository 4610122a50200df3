"""What must be the same for a run to go on where it ended."""

import dataclasses
import json
import zlib

import numpy as np

import kernels
from trainloop.base import durations, strict_json
from trainloop.data import identity
from trainloop.workdir import model_identity, optimizer_config
from trainloop.workdir.description import Description

_CURVE = 1 << 14  # steps of a curve that are compared


@dataclasses.dataclass(frozen=True)
class Fingerprint:
  """What a fit is, to be compared after a restart.

  Attributes:
    values: {name: value of a JSON type}; durations as steps.
    text: what is not compared, and how much of a dataset is; "" for nothing.
  """

  values: dict
  text: str = ""


def of(parts, data, epochs, schedule, every, extra, compares=True):
  """The `Fingerprint` of a fit.

  Args:
    parts: the loop's `Parts`, built; before the first update the first time.
    data: (data source of training, that of validation or None).
    epochs: epochs of the fit.
    schedule: its `kernels.Schedule`.
    every: {"validate": duration, "checkpoint": duration}.
    extra: {argument name: value} of the loop, of JSON types.
    compares: whether it will be compared, with the run of a workdir or that of
      other workers: if not, nothing is asked that takes time.

  Raises:
    ValueError: if a duration comes to less than one step.
  """
  source = data[0]
  per_epoch = source.steps_per_epoch
  steps = {
    f"{name}_steps": durations.to_steps(
      f"{name}_every", text, per_epoch, per_epoch * epochs, 1
    )
    for name, text in every.items()
  }
  describe = Description()
  known = parts.described if compares else None
  if compares and known is None:
    known = parts.described = _made(parts)
  values = {
    **(_data(parts, data, describe) if compares else {}),
    "epochs": epochs,
    "steps_per_epoch": per_epoch,
    **steps,
    "engine": parts.engine.name,
    **extra,
    **_training(parts, describe),
    "schedule": _planned(schedule, per_epoch * epochs),
    "bias_correction": "exact" if parts.binding.exact else "keras",
    **(known.values if compares else {}),
  }
  left_out = [*(known.left_out if compares else ()), *describe.left_out]
  return Fingerprint(values, _text(left_out, values))


def _text(left_out, values):
  found = [f"not compared: {', '.join(left_out)}"] if left_out else []
  names = [n for n in ("data", "validation") if "spec" in values.get(n, {})]
  if names:
    first = f"at most its first {identity.BATCHES} batches"
    found.append(f"{' and '.join(names)} known by {first}, and its arrays")
  return "; ".join(found)


@dataclasses.dataclass(frozen=True)
class Made:
  """What a loop was made of: the same for all its fits."""

  values: dict
  left_out: list


def _made(parts):
  """Model, loss, metrics and seeds, as they are before the first update."""
  describe = Description()
  loss, metrics, loss_weights, step = parts.wanted
  values = {
    "seed": parts.seed,
    "random_seed": _of_chief(parts, parts.random_seed),
    "loss": describe.of(loss, "loss"),
    "loss_weights": describe.of(loss_weights, "loss_weights"),
    "metrics": describe.of(metrics, "metrics"),
    "step": describe.of(step, "step"),
    "model": {
      **model_identity.of(parts.model, describe),
      "frozen": model_identity.frozen(parts.model),
    },
  }
  return Made(values, describe.left_out)


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


def _data(parts, data, describe):
  """What tells the data of training and validation from others."""
  source, validation = data
  dataset = _dataset(parts, source, describe, "data")
  values = dict(source.identity) if dataset is None else {"data": dataset}
  if validation is None:
    return values
  other = _dataset(parts, validation, describe, "validation")
  if other is None:
    names = ("num_examples", "data_crc32")
    other = {name: validation.identity[name] for name in names}
  return {**values, "validation": other}


def _dataset(parts, source, describe, path):
  """A dataset as the chief sees it, on all workers; None for arrays."""
  dataset = identity.of(source, describe, path)
  if dataset is None:
    return None
  return _of_chief(parts, {**source.identity, **dataset})


def _of_chief(parts, value):
  """A JSON value of the chief's on all workers."""
  return json.loads(parts.workers.from_chief(strict_json.dumps(value).encode()))


def _training(parts, describe):
  """What training depends on besides data and schedule."""
  optimizer = parts.binding.optimizer
  # The schedule is compared on its own; names count objects of a process.
  apart = ("learning_rate", "name")
  config = {
    name: describe.of(value, f"optimizer.{name}")
    for name, value in optimizer_config.of(optimizer).items()
    if name not in apart
  }
  kind = {"kind": type(optimizer).__name__}
  own = describe.own(optimizer, "optimizer")
  stopping, plateau = (None if o is None else repr(o) for o in parts.judging)
  return {
    "optimizer": {**kind, **config, **own, **_decay(optimizer, parts.model)},
    "early_stopping": stopping,
    "reduce_on_plateau": plateau,
    **parts.numerics.identity,
  }


def _decay(optimizer, model):
  """Which weights do not decay, by their positions, where others do."""
  if not optimizer.weight_decay:
    return {}
  # Private: nothing public tells what `exclude_from_weight_decay` was given.
  decays = [optimizer._use_weight_decay(v) for v in model.trainable_variables]
  return {"not_decayed": [i for i, one in enumerate(decays) if not one]}
