"""What must be the same for a run to go on where it ended."""

from trainloop import durations

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
    "schedule": schedule.to_config(),
    "bias_correction": "exact" if parts.binding.exact else "keras",
    **_judged(parts, validation),
  }


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
