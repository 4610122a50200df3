"""Which flags each schedule reads."""

# The flags that a schedule reads, apart from those that all of them read.
USES = {
  "constant": (),
  "linear": ("length", "floor_lr"),
  "cosine": ("length", "floor_lr"),
  "polynomial": ("length", "floor_lr", "power", "cycle"),
  "exponential": ("decay_every", "decay_rate", "staircase", "floor_lr"),
  "inverse_time": ("decay_every", "decay_rate", "staircase"),
  "inverse_sqrt": (),
  "power": ("coefficient", "exponent"),
  "step_decay": ("drop", "drop_every"),
  "piecewise_constant": ("boundaries", "values"),
  "cosine_restarts": (
    "cycle_len",
    "cycle_mult",
    "peak_decay",
    "floor_lr",
    "cycles",
    "momentum_range",
  ),
  "triangular": (
    "cycle_len",
    "down_len",
    "mode",
    "gamma",
    "floor_lr",
    "final_lr",
    "momentum_range",
  ),
  "one_cycle": (
    "length",
    "preset",
    "warmup_fraction",
    "initial_div",
    "final_div",
    "anneal",
    "three_phase",
    "momentum_range",
  ),
  "warmup_cosine": ("length", "hold", "floor_lr", "momentum_range"),
  "warmup_stable_decay": (
    "length",
    "decay_len",
    "decay",
    "cycles",
    "floor_lr",
  ),
  "range_sweep": ("length", "spacing", "floor_lr"),
  "join": ("parts", "boundaries"),
  "product": ("parts",),
  # Recipes, which count in epochs; one_cycle and warmup_cosine are above.
  "sgdr": (
    "cycle_len",
    "cycle_mult",
    "peak_decay",
    "floor_lr",
    "cycles",
    "momentum_range",
  ),
  "autofit": ("momentum_range",),
  "time_based": ("decay_rate", "per"),
  "step_drop": ("drop", "drop_every"),
  "function": ("function",),
}
# Schedules with a warmup of their own; --warmup puts one before any other.
OWN_WARMUP = ("warmup_cosine", "warmup_stable_decay", "inverse_sqrt")
