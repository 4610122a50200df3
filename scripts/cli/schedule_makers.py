"""The kernels that the flags of `schedule_flags` describe."""

import dataclasses
import importlib
import os
import sys

from absl import flags

from cli import flag_rules, light, schedule_flags

FLAGS = flags.FLAGS

kernels = light.Deferred("kernels")
checks = light.Deferred("kernels.checks")
recipes = light.Deferred("trainloop.recipes")
durations = light.Deferred("trainloop.base.durations")


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
  asked = _Asked(peak_lr, steps_per_epoch, total_steps, total_steps)
  name = FLAGS.schedule
  wrapped = FLAGS["warmup"].present and not schedule_flags.has_own_warmup()
  if "length" in schedule_flags.durations_used():
    asked = asked.of(asked.steps("length", 1))
  has_warmup = FLAGS["warmup"].present or schedule_flags.has_own_warmup()
  warmup = asked.steps("warmup") if has_warmup else 0
  if warmup > asked.length:
    rule = f"no longer than the schedule's {asked.length} steps"
    checks.fail("warmup", FLAGS.warmup, rule)
  before = warmup if wrapped and FLAGS.warmup_shift else 0
  schedule = _MAKERS[name](asked.of(max(1, asked.length - before)))
  if wrapped:
    schedule = kernels.Warmup(
      schedule, warmup, FLAGS.initial_lr, FLAGS.warmup_shift
    )
  if FLAGS.scale != 1.0:
    schedule = kernels.Scaled(schedule, FLAGS.scale)
  return schedule


@dataclasses.dataclass(frozen=True)
class _Asked:
  """What a maker needs: the peak, and the steps its schedule is for."""

  peak: float
  steps_per_epoch: int
  total_steps: int
  length: int
  is_factor: bool = False

  def of(self, length):
    return dataclasses.replace(self, length=length)

  def factor(self):
    """What a factor of peak 1 needs; the rate's floor is not its own."""
    return dataclasses.replace(self, peak=1.0, is_factor=True)

  def steps(self, name, minimum=0, text=None):
    text = FLAGS[name].value if text is None else text
    return durations.to_steps(
      name, text, self.steps_per_epoch, self.total_steps, minimum
    )

  def epochs(self, name):
    """A duration in whole epochs, rounded up."""
    return -(-self.steps(name, 1) // self.steps_per_epoch)

  def floor(self, default=0.0):
    given = FLAGS.floor_lr is not None and not self.is_factor
    return FLAGS.floor_lr if given else default

  @property
  def momentum(self):
    if self.is_factor:
      return None
    return tuple(flag_rules.read_numbers(FLAGS.momentum_range)) or None

  @property
  def boundaries(self):
    found = schedule_flags.boundaries()
    return [self.steps("boundaries", 1, text) for text in found]


def _constant(asked):
  return kernels.Constant(asked.peak)


def _linear(asked):
  return kernels.Linear(asked.peak, asked.floor(), asked.length)


def _cosine(asked):
  return kernels.Cosine(asked.peak, asked.length, asked.floor())


def _polynomial(asked):
  return kernels.Polynomial(
    asked.peak, asked.floor(), asked.length, FLAGS.power, FLAGS.cycle
  )


def _exponential(asked):
  every, floor = asked.steps("decay_every", 1), asked.floor(None)
  return kernels.Exponential(
    asked.peak, every, FLAGS.decay_rate, FLAGS.staircase, floor
  )


def _inverse_time(asked):
  every = asked.steps("decay_every", 1)
  return kernels.InverseTime(
    asked.peak, every, FLAGS.decay_rate, FLAGS.staircase
  )


def _step_decay(asked):
  every = asked.steps("drop_every", 1)
  return kernels.StepDecay(asked.peak, FLAGS.drop, every)


def _piecewise(asked):
  factors = flag_rules.read_numbers(FLAGS.values)
  rates = [asked.peak * factor for factor in factors]
  return kernels.PiecewiseConstant(asked.boundaries, rates)


def _restarts(asked):
  whole_epochs = FLAGS.cycle_len.endswith("ep")
  return kernels.CosineRestarts(
    asked.peak,
    asked.steps("cycle_len", 1),
    cycle_mult=FLAGS.cycle_mult,
    peak_decay=FLAGS.peak_decay,
    floor_lr=asked.floor(),
    cycles=FLAGS.cycles,
    round_to=asked.steps_per_epoch if whole_epochs else 1,
    momentum=asked.momentum,
  )


def _triangular(asked):
  cycle = asked.steps("cycle_len", 2)
  down = cycle // 2
  if FLAGS.down_len is not None:
    down = asked.steps("down_len", 1)
    if down >= cycle:
      flag_rules.stop(f"--down_len must be below {cycle} steps; got {down}")
  return kernels.Triangular(
    asked.floor(asked.peak / 10),
    asked.peak,
    cycle - down,
    down,
    FLAGS.mode,
    FLAGS.gamma,
    FLAGS.final_lr,
    asked.momentum,
  )


def _one_cycle(asked):
  names = ("warmup_fraction", "initial_div", "final_div", "anneal")
  given = {name: FLAGS[name].value for name in (*names, "three_phase")}
  given["momentum"] = asked.momentum
  changes = {name: value for name, value in given.items() if value is not None}
  if asked.is_factor:
    changes["momentum"] = None
  preset = kernels.OneCycle.preset(FLAGS.preset, asked.peak, asked.length)
  return dataclasses.replace(preset, **changes)


def _warmup_cosine(asked):
  return kernels.WarmupCosine(
    asked.peak,
    asked.steps("warmup"),
    asked.length,
    hold_steps=asked.steps("hold"),
    initial_lr=FLAGS.initial_lr,
    final_lr=asked.floor(),
    momentum=asked.momentum,
  )


def _stable(asked):
  warmup, decay = asked.steps("warmup"), asked.steps("decay_len", 1)
  return kernels.WarmupStableDecay(
    asked.peak,
    warmup,
    asked.length - warmup - decay,
    decay,
    FLAGS.initial_lr,
    asked.floor(),
    FLAGS.decay,
  )


def _sweep(asked):
  low = asked.floor(asked.peak / 1e8)
  return kernels.RangeSweep(low, asked.peak, asked.length, FLAGS.spacing)


def _recipe(make):
  """A maker that asks a recipe for its kernel."""

  def found(asked):
    epochs = -(-asked.length // asked.steps_per_epoch)
    return make(asked).schedule_for(asked.steps_per_epoch, epochs)

  return found


def _sgdr(asked):
  return recipes.sgdr(
    asked.peak,
    asked.epochs("cycle_len"),
    FLAGS.cycle_mult,
    FLAGS.peak_decay,
    asked.floor(),
    FLAGS.cycles,
    asked.momentum,
  )


def _autofit(asked):
  given = {"momentum": asked.momentum}
  if asked.momentum is None and not asked.is_factor:
    given = {}  # its own
  return recipes.autofit(asked.peak, **given)


def _time_based(asked):
  return recipes.time_based(asked.peak, FLAGS.decay_rate, FLAGS.per)


def _step_drop(asked):
  return recipes.step_drop(asked.peak, FLAGS.drop, asked.epochs("drop_every"))


def _function(asked):
  module, _, name = FLAGS.function.partition(":")
  sys.path.insert(0, os.getcwd())
  try:
    found = getattr(importlib.import_module(module), name)
  except Exception as error:  # whatever a user's module may raise
    reason = f"{type(error).__name__}: {error}".splitlines()[0]
    rule = f"a function that can be imported ({reason})"
    checks.fail("function", FLAGS.function, rule)
  return recipes.function(found, asked.peak)


def _join(asked):
  ends = [*asked.boundaries, asked.length]
  starts = [0, *asked.boundaries]
  parts = [
    _MAKERS[name](asked.of(max(1, end - start)))
    for name, start, end in zip(
      flag_rules.split(FLAGS.parts), starts, ends, strict=True
    )
  ]
  return kernels.Join(parts, asked.boundaries)


def _product(asked):
  first, *rest = flag_rules.split(FLAGS.parts)
  factors = [_MAKERS[name](asked.factor()) for name in rest]
  return kernels.Product([_MAKERS[first](asked), *factors])


_MAKERS = {
  "constant": _constant,
  "linear": _linear,
  "cosine": _cosine,
  "polynomial": _polynomial,
  "exponential": _exponential,
  "inverse_time": _inverse_time,
  "step_decay": _step_decay,
  "piecewise_constant": _piecewise,
  "cosine_restarts": _restarts,
  "triangular": _triangular,
  "one_cycle": _one_cycle,
  "warmup_cosine": _warmup_cosine,
  "warmup_stable_decay": _stable,
  "range_sweep": _sweep,
  "join": _join,
  "product": _product,
  "sgdr": _recipe(_sgdr),
  "autofit": _recipe(_autofit),
  "time_based": _recipe(_time_based),
  "step_drop": _recipe(_step_drop),
  "function": _recipe(_function),
}
