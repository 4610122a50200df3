"""What must be the same for a run to go on where it ended."""

import json
import zlib

import numpy as np

import kernels
from trainloop import durations

_CURVE = 1 << 14  # steps of a curve that are compared
_OPTIONS = (
  "momentum",
  "nesterov",
  "beta_1",
  "beta_2",
  "weight_decay",
  "clipnorm",
  "clipvalue",
  "global_clipnorm",
  "use_ema",
)


def of(parts, data, epochs, schedule, every, extra):
  """The fingerprint of a fit; it is compared after a restart.

  Args:
    parts: the loop's `Parts`, built.
    data: (data source of training, that of validation or None).
    epochs: epochs of the fit.
    schedule: its `kernels.Schedule`.
    every: {"validate": duration, "checkpoint": duration}.
    extra: {argument name: value} of the loop, of JSON types.

  Returns:
    {name: value of a JSON type}; durations as steps.

  Raises:
    ValueError: if a duration comes to less than one step.
  """
  source, validation = data
  per_epoch = source.steps_per_epoch
  steps = {
    f"{name}_steps": durations.to_steps(
      f"{name}_every", text, per_epoch, per_epoch * epochs, 1
    )
    for name, text in every.items()
  }
  return {
    **source.identity,
    "epochs": epochs,
    "steps_per_epoch": per_epoch,
    **steps,
    "engine": parts.engine.name,
    **extra,
    **_training(parts),
    "schedule": _planned(schedule, per_epoch * epochs),
    "bias_correction": "exact" if parts.binding.exact else "keras",
    **_judged(parts, validation),
  }


def _planned(schedule, steps):
  """A schedule's config; and its curve's checksum, where that may say more.

  What a class of a user's holds beside its config, and what its code says, is
  seen in the values only.
  """
  config, foreign = schedule.to_config(), schedule.foreign
  if not foreign:
    return config
  # The values say what JSON can't; a repr has addresses of this process.
  text = json.dumps(config, default=lambda value: type(value).__name__)
  at = np.linspace(0, steps - 1, min(steps, _CURVE)).astype(np.int64)
  rates, momenta = kernels.tabulate(schedule, at)
  momenta = b"" if momenta is None else momenta.tobytes()
  crc32 = zlib.crc32(rates.tobytes() + momenta)
  names = ", ".join(dict.fromkeys(foreign))
  values = f"{crc32:08x}, crc32 of {steps} steps of {names}"
  return {**json.loads(text), "values": values}


def _judged(parts, validation):
  """The validation data, where something is judged by it; else {}."""
  if validation is None or not parts.state.judge.monitors:
    return {}
  names = ("num_examples", "data_crc32")
  found = {n: v for n, v in validation.identity.items() if n in names}
  return {"validation": found}


def _training(parts):
  """What training depends on besides data and schedule."""
  optimizer = parts.binding.optimizer
  try:
    config = optimizer.get_config()
  except NotImplementedError:  # made with a schedule that has no config
    config = {k: getattr(optimizer, k) for k in _OPTIONS
              if hasattr(optimizer, k)}  # fmt: skip
  # The schedule is compared on its own; names count objects of a process.
  config = {
    k: v for k, v in config.items() if k not in ("learning_rate", "name")
  }
  stopping, plateau = (None if o is None else repr(o) for o in parts.judging)
  return {
    "optimizer": {"kind": type(optimizer).__name__, **config},
    "loss": repr(parts.loss) if isinstance(parts.loss, str) else None,
    "early_stopping": stopping,
    "reduce_on_plateau": plateau,
    **parts.numerics.identity,
    **parts.identity,
  }
