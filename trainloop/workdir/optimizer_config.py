"""What an optimizer is set to, also one that has no config."""

# Of one whose `get_config` fails.
_OPTIONS = (
  "momentum",
  "nesterov",
  "beta_1",
  "beta_2",
  "rho",
  "epsilon",
  "amsgrad",
  "centered",
  "weight_decay",
  "clipnorm",
  "clipvalue",
  "global_clipnorm",
  "use_ema",
  "ema_momentum",
  "ema_overwrite_frequency",
)


def of(optimizer):
  """{name: value} of an optimizer, as its config has them.

  Args:
    optimizer: a Keras optimizer; one that was made with a schedule without a
      config, or a user's own whose `get_config` fails, says the common
      options that it has.
  """
  try:
    return optimizer.get_config()
  except Exception:  # a user's code: it may raise anything
    return {k: getattr(optimizer, k) for k in _OPTIONS if hasattr(optimizer, k)}
