"""What must be the same for a run to go on where it ended."""

from trainloop import durations


def of(parts, source, epochs, schedule, every, extra):
  """The fingerprint of a fit; it is compared after a restart.

  Args:
    parts: the loop's `Parts`, built.
    source: data source of training.
    epochs: epochs of the fit.
    schedule: its `kernels.Schedule`.
    every: {"validate": duration, "checkpoint": duration}.
    extra: {argument name: value} of the loop, of JSON types.

  Returns:
    {name: value of a JSON type}; durations as steps.

  Raises:
    ValueError: if a duration comes to less than one step.
  """
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
    **parts.identity(),
    "schedule": schedule.to_config(),
    "bias_correction": "exact" if parts.binding.exact else "keras",
  }
