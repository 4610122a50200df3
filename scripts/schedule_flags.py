"""Flags that describe a schedule, and the kernel they describe."""

from absl import flags

import flag_rules

FLAGS = flags.FLAGS
NAMES = (
  "constant",
  "cosine_restarts",
  "triangular",
  "one_cycle",
  "warmup_cosine",
)
USES = {
  "constant": (),
  "cosine_restarts": (
    "cycle_len",
    "cycle_mult",
    "peak_decay",
    "floor_lr",
    "momentum_range",
  ),
  "triangular": ("cycle_len", "floor_lr", "momentum_range"),
  "one_cycle": ("preset", "momentum_range"),
  "warmup_cosine": ("warmup", "hold", "floor_lr", "momentum_range"),
}
_PRESETS = ("torch", "fastai", "ktrain", "optax")


def define():
  """Defines the flags."""
  flags.DEFINE_enum(
    "schedule", "one_cycle", NAMES, "how learning rate and momentum move"
  )
  flag_rules.number(
    "peak_lr", None, "highest learning rate; unset: one for the optimizer"
  )
  flags.DEFINE_enum("preset", "torch", _PRESETS, "one_cycle: whose version")
  flag_rules.duration("warmup", "10%", "warmup_cosine: the rise")
  flag_rules.duration("hold", "0st", "warmup_cosine: time at the peak")
  flag_rules.duration(
    "cycle_len", "1ep", "cosine_restarts, triangular: first cycle"
  )
  flag_rules.number(
    "cycle_mult", 1.0, "cosine_restarts: growth of a cycle", open_low=True
  )
  flag_rules.number(
    "peak_decay",
    1.0,
    "cosine_restarts: factor on the peak at a restart",
    open_low=True,
  )
  flag_rules.number(
    "floor_lr",
    None,
    "bottom of a cycle, or final rate (triangular: peak / 10, else 0)",
  )
  flag_rules.numbers(
    "momentum_range",
    "",
    "momentum at low and at high learning rate, as 0.95,0.85 (one_cycle has "
    "its own); empty leaves the optimizer's",
    count=2,
    accept=lambda value: 0 <= value < 1,
    rule="two numbers in [0, 1), as 0.95,0.85",
  )


def make(peak_lr, steps_per_epoch, total_steps):
  """The kernel that the flags describe.

  Args:
    peak_lr: highest rate.
    steps_per_epoch: updates of an epoch.
    total_steps: updates of the run.

  Returns:
    A `kernels.Schedule`.

  Raises:
    ValueError: if the flags do not fit each other or the run.
  """
  import kernels
  from trainloop import durations

  def steps(name, minimum=0):
    return durations.to_steps(
      name, FLAGS[name].value, steps_per_epoch, total_steps, minimum
    )

  pair = tuple(flag_rules.read_numbers(FLAGS.momentum_range)) or None
  floor = FLAGS.floor_lr
  if FLAGS.schedule == "constant":
    return kernels.Constant(peak_lr)
  if FLAGS.schedule == "one_cycle":
    return _one_cycle(kernels, peak_lr, total_steps, pair)
  if FLAGS.schedule == "warmup_cosine":
    return kernels.WarmupCosine(
      peak_lr,
      steps("warmup"),
      total_steps,
      hold_steps=steps("hold"),
      final_lr=floor or 0.0,
      momentum=pair,
    )
  if FLAGS.schedule == "triangular":
    cycle = steps("cycle_len", 2)
    return kernels.Triangular(
      peak_lr / 10 if floor is None else floor,
      peak_lr,
      cycle - cycle // 2,
      cycle // 2,
      momentum=pair,
    )
  whole_epochs = FLAGS.cycle_len.endswith("ep")
  return kernels.CosineRestarts(
    peak_lr,
    steps("cycle_len", 1),
    cycle_mult=FLAGS.cycle_mult,
    peak_decay=FLAGS.peak_decay,
    floor_lr=floor or 0.0,
    round_to=steps_per_epoch if whole_epochs else 1,
    momentum=pair,
  )


def _one_cycle(kernels, peak_lr, total_steps, pair):
  import dataclasses

  schedule = kernels.OneCycle.preset(FLAGS.preset, peak_lr, total_steps)
  if pair is None:
    return schedule
  return dataclasses.replace(schedule, momentum=pair)
