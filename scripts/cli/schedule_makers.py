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
    peak_lr: highest rate: --peak_lr, or the script's own default.
    steps_per_epoch: updates of an epoch.
    total_steps: updates of the run.

  Returns:
    A `kernels.Schedule`.

  Raises:
    ValueError: if the flags do not fit each other or the run.
  """
  needs = _Needs(peak_lr, steps_per_epoch, total_steps, total_steps)
  name = FLAGS.schedule
  wrapped = FLAGS["warmup"].present and not schedule_flags.has_own_warmup()
  if "length" in schedule_flags.durations_used():
    needs = needs.of(needs.steps("length", 1))
  has_warmup = FLAGS["warmup"].present or schedule_flags.has_own_warmup()
  warmup = needs.steps("warmup") if has_warmup else 0
  if warmup > needs.length:
    rule = f"no longer than the schedule's {needs.length} steps"
    checks.fail("warmup", FLAGS.warmup, rule)
  before = warmup if wrapped and FLAGS.warmup_shift else 0
  schedule = _MAKERS[name](needs.of(max(1, needs.length - before)))
  if wrapped:
    schedule = kernels.Warmup(
      schedule, warmup, FLAGS.initial_lr, FLAGS.warmup_shift
    )
  if FLAGS.scale != 1.0:
    schedule = kernels.Scaled(schedule, FLAGS.scale)
  return schedule


@dataclasses.dataclass(frozen=True)
class _Needs:
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
    own = FLAGS.floor_lr is not None and not self.is_factor
    return FLAGS.floor_lr if own else default

  @property
  def momentum(self):
    if self.is_factor:
      return None
    return tuple(flag_rules.read_numbers(FLAGS.momentum_range)) or None

  @property
  def boundaries(self):
    texts = schedule_flags.boundaries()
    return [self.steps("boundaries", 1, text) for text in texts]


def _constant(needs):
  return kernels.Constant(needs.peak)


def _linear(needs):
  return kernels.Linear(needs.peak, needs.floor(), needs.length)


def _cosine(needs):
  return kernels.Cosine(needs.peak, needs.length, needs.floor())


def _polynomial(needs):
  return kernels.Polynomial(
    needs.peak, needs.floor(), needs.length, FLAGS.power, FLAGS.cycle
  )


def _exponential(needs):
  every, floor = needs.steps("decay_every", 1), needs.floor(None)
  return kernels.Exponential(
    needs.peak, every, FLAGS.decay_rate, FLAGS.staircase, floor
  )


def _inverse_time(needs):
  every = needs.steps("decay_every", 1)
  return kernels.InverseTime(
    needs.peak, every, FLAGS.decay_rate, FLAGS.staircase
  )


def _inverse_sqrt(needs):
  warmup = needs.steps("warmup")
  return kernels.InverseSqrt(needs.peak, warmup, FLAGS.initial_lr)


def _power(needs):
  return kernels.Power(needs.peak, FLAGS.coefficient, FLAGS.exponent)


def _step_decay(needs):
  every = needs.steps("drop_every", 1)
  return kernels.StepDecay(needs.peak, FLAGS.drop, every)


def _piecewise(needs):
  factors = flag_rules.read_numbers(FLAGS.values)
  rates = [needs.peak * factor for factor in factors]
  return kernels.PiecewiseConstant(needs.boundaries, rates)


def _restarts(needs):
  whole_epochs = FLAGS.cycle_len.endswith("ep")
  return kernels.CosineRestarts(
    needs.peak,
    needs.steps("cycle_len", 1),
    cycle_mult=FLAGS.cycle_mult,
    peak_decay=FLAGS.peak_decay,
    floor_lr=needs.floor(),
    cycles=FLAGS.cycles,
    round_to=needs.steps_per_epoch if whole_epochs else 1,
    momentum=needs.momentum,
  )


def _triangular(needs):
  cycle = needs.steps("cycle_len", 2)
  down = cycle // 2
  if FLAGS.down_len is not None:
    down = needs.steps("down_len", 1)
    if down >= cycle:
      flag_rules.stop(f"--down_len must be below {cycle} steps; got {down}")
  return kernels.Triangular(
    needs.floor(needs.peak / 10),
    needs.peak,
    cycle - down,
    down,
    FLAGS.mode,
    FLAGS.gamma,
    FLAGS.final_lr,
    needs.momentum,
  )


def _one_cycle(needs):
  names = ("warmup_fraction", "initial_div", "final_div", "anneal")
  settings = {name: FLAGS[name].value for name in (*names, "three_phase")}
  settings["momentum"] = needs.momentum
  changes = {
    name: value for name, value in settings.items() if value is not None
  }
  if needs.is_factor:
    changes["momentum"] = None
  preset = kernels.OneCycle.preset(FLAGS.preset, needs.peak, needs.length)
  return dataclasses.replace(preset, **changes)


def _warmup_cosine(needs):
  return kernels.WarmupCosine(
    needs.peak,
    needs.steps("warmup"),
    needs.length,
    hold_steps=needs.steps("hold"),
    initial_lr=FLAGS.initial_lr,
    final_lr=needs.floor(),
    momentum=needs.momentum,
  )


def _stable(needs):
  warmup, decay = needs.steps("warmup"), needs.steps("decay_len", 1)
  count = FLAGS.cycles or 1
  return kernels.WarmupStableDecay(
    needs.peak,
    warmup,
    (needs.length - warmup) // count - decay,
    decay,
    FLAGS.initial_lr,
    needs.floor(),
    FLAGS.decay,
    count,
  )


def _sweep(needs):
  low = needs.floor(needs.peak / 1e8)
  return kernels.RangeSweep(low, needs.peak, needs.length, FLAGS.spacing)


def _recipe(make):
  """A maker that asks a recipe for its kernel."""

  def make_kernel(needs):
    epochs = -(-needs.length // needs.steps_per_epoch)
    return make(needs).schedule_for(needs.steps_per_epoch, epochs)

  return make_kernel


def _sgdr(needs):
  return recipes.sgdr(
    needs.peak,
    needs.epochs("cycle_len"),
    FLAGS.cycle_mult,
    FLAGS.peak_decay,
    needs.floor(),
    FLAGS.cycles,
    needs.momentum,
  )


def _autofit(needs):
  options = {"momentum": needs.momentum}
  if needs.momentum is None and not needs.is_factor:
    options = {}  # its own
  return recipes.autofit(needs.peak, **options)


def _time_based(needs):
  return recipes.time_based(needs.peak, FLAGS.decay_rate, FLAGS.per)


def _step_drop(needs):
  return recipes.step_drop(needs.peak, FLAGS.drop, needs.epochs("drop_every"))


def _function(needs):
  module, _, name = FLAGS.function.partition(":")
  sys.path.insert(0, os.getcwd())
  try:
    rate = getattr(importlib.import_module(module), name)
  except Exception as error:  # whatever a user's module may raise
    reason = f"{type(error).__name__}: {error}".splitlines()[0]
    rule = f"a function that can be imported ({reason})"
    checks.fail("function", FLAGS.function, rule)
  return recipes.function(rate, needs.peak)


def _join(needs):
  ends = [*needs.boundaries, needs.length]
  starts = [0, *needs.boundaries]
  parts = [
    _MAKERS[name](needs.of(max(1, end - start)))
    for name, start, end in zip(
      flag_rules.split(FLAGS.parts), starts, ends, strict=True
    )
  ]
  return kernels.Join(parts, needs.boundaries)


def _product(needs):
  first, *rest = flag_rules.split(FLAGS.parts)
  factors = [_MAKERS[name](needs.factor()) for name in rest]
  return kernels.Product([_MAKERS[first](needs), *factors])


_MAKERS = {
  "constant": _constant,
  "linear": _linear,
  "cosine": _cosine,
  "polynomial": _polynomial,
  "exponential": _exponential,
  "inverse_sqrt": _inverse_sqrt,
  "inverse_time": _inverse_time,
  "power": _power,
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
