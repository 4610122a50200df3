"""Flags that describe a schedule; `schedule_makers` makes it from them."""

from absl import flags

from cli import flag_rules
from cli.schedule_uses import OWN_WARMUP, USES

FLAGS = flags.FLAGS
PRESETS = ("torch", "fastai", "ktrain", "optax")
_WITH_PARTS = ("join", "product")
PARTS = tuple(
  name
  for name in USES
  if name not in (*_WITH_PARTS, "piecewise_constant", "function")
)


def define():
  """Defines the flags."""
  flags.DEFINE_enum(
    "schedule", "one_cycle", tuple(USES), "how learning rate and momentum move"
  )
  flag_rules.number(
    "peak_lr",
    None,
    "highest learning rate [rate]; unset: one that suits the optimizer",
  )
  flag_rules.duration("length", "100%", "all of a schedule that has an end")
  flag_rules.number(
    "floor_lr",
    None,
    "bottom of a cycle, or last rate [rate]; unset: peak / 10 for "
    "triangular, peak / 1e8 for range_sweep, none for exponential, else 0",
  )
  _define_warmup()
  flag_rules.numbers(
    "momentum_range",
    "",
    "momentum at low and at high learning rate, as 0.95,0.85 "
    "[coefficients] (one_cycle has its own); empty leaves the optimizer's",
    count=2,
    accept=lambda value: 0 <= value < 1,
    rule="two numbers in [0, 1), as 0.95,0.85",
  )
  _define_one_cycle()
  _define_cycles()
  _define_decays()
  _define_parts()


def _define_warmup():
  flag_rules.duration(
    "warmup",
    "10%",
    "rise to the peak; other schedules than warmup_* get one in front if set",
  )
  flags.DEFINE_bool(
    "warmup_shift",
    True,
    "--warmup in front of a schedule: off, it stands over the first steps",
  )
  flag_rules.number("initial_lr", 0.0, "where a warmup starts [rate]")
  flag_rules.number(
    "scale", 1.0, "multiplies the whole schedule [factor]", open_low=True
  )


def _define_one_cycle():
  flags.DEFINE_enum("preset", "torch", PRESETS, "one_cycle: whose version")
  flag_rules.number(
    "warmup_fraction",
    None,
    "one_cycle: share that rises [fraction]; unset: the preset's",
    high=1.0,
  )
  for name, text in (("initial_div", "initial"), ("final_div", "final")):
    start = {"initial": "peak", "final": "initial"}[text]
    help = f"one_cycle: {start} / {text} [factor]; unset: the preset's"
    flag_rules.number(name, None, help, open_low=True)
  flags.DEFINE_enum(
    "anneal",
    None,
    ("cosine", "linear"),
    "one_cycle: shape; unset: the preset's",
  )
  flags.DEFINE_bool(
    "three_phase", None, "one_cycle: fall back, then decay; unset: the preset's"
  )


def _define_cycles():
  flag_rules.duration(
    "cycle_len", "1ep", "cosine_restarts, sgdr, triangular: first cycle"
  )
  flag_rules.number(
    "cycle_mult",
    1.0,
    "cosine_restarts, sgdr: each cycle is longer by it [factor]",
    open_low=True,
  )
  flag_rules.number(
    "peak_decay",
    1.0,
    "cosine_restarts, sgdr: multiplies the peak at a restart [factor]",
    open_low=True,
  )
  flag_rules.integer(
    "cycles",
    None,
    "cosine_restarts, sgdr, warmup_stable_decay: how many [cycles]; unset: as "
    "many as there is time for, or 1 of the last",
    1,
  )
  flag_rules.duration(
    "down_len", None, "triangular: leg down; unset: half of --cycle_len"
  )
  modes = ("triangular", "triangular2", "exp_range")
  flags.DEFINE_enum("mode", "triangular", modes, "triangular: how peaks fall")
  flag_rules.number(
    "gamma",
    1.0,
    "triangular: base of exp_range, a step [factor]",
    high=1.0,
    open_low=True,
  )
  flag_rules.number(
    "final_lr", None, "triangular: end of the leg down [rate]; unset: cycle on"
  )


def _define_decays():
  flag_rules.number("power", 1.0, "polynomial: exponent [power]", open_low=True)
  flags.DEFINE_bool("cycle", False, "polynomial: rise again after its length")
  flag_rules.duration(
    "decay_every", "1ep", "exponential, inverse_time: time of one decay_rate"
  )
  flag_rules.number(
    "decay_rate",
    0.5,
    "exponential: factor; inverse_time, time_based: slope [per "
    "--decay_every or --per]",
    open_low=True,
  )
  flag_rules.number(
    "coefficient", 1.0, "power: what it multiplies [rate]", open_low=True
  )
  flag_rules.number("exponent", -0.51, "power: of t [power]", -99.0, -1e-6)
  flags.DEFINE_bool("staircase", False, "exponential, inverse_time: in steps")
  flag_rules.number(
    "drop",
    0.1,
    "step_decay, step_drop: what a drop multiplies the rate by [factor]",
    open_low=True,
  )
  flag_rules.duration(
    "drop_every", "30%", "step_decay, step_drop: time between drops"
  )
  pers = ("update", "epoch")
  flags.DEFINE_enum("per", "update", pers, "time_based: what decay_rate is of")
  flag_rules.duration("hold", "0st", "warmup_cosine: time at the peak")
  flag_rules.duration("decay_len", "20%", "warmup_stable_decay: last fall")
  shapes = ("linear", "cosine", "sqrt")
  flags.DEFINE_enum("decay", "linear", shapes, "warmup_stable_decay: its shape")
  spacings = ("exponential", "linear")
  flags.DEFINE_enum("spacing", "exponential", spacings, "range_sweep: shape")


def _define_parts():
  flags.DEFINE_string(
    "function",
    None,
    "function: package.module:name, a function of the epoch that gives "
    "the rate, or of (epoch, lr); unset: none",
  )
  flag_rules.durations(
    "boundaries", "50%,75%", "piecewise_constant, join: where parts begin"
  )
  flag_rules.numbers(
    "values",
    "1,0.1,0.01",
    "piecewise_constant: factors on peak_lr, one more than boundaries "
    "[factors]",
    accept=lambda value: value >= 0,
    rule="numbers >= 0 separated by commas",
  )
  flag_rules.names(
    "parts",
    "",
    "join: schedules one after another; product: a schedule and factors of "
    "peak 1 on it; they share the other flags",
    PARTS,
  )


def check(compared=()):
  """Rules about several flags; ends the program with one line.

  Args:
    compared: values of the flag --compare, which then stands for --schedule.
  """
  name = FLAGS.schedule
  if compared:
    if FLAGS["schedule"].present:
      flag_rules.stop("--schedule has no effect with --compare")
    chosen = ["one_cycle" if one in PRESETS else one for one in compared]
    used = {flag for one in chosen for flag in USES[one]}
    every = {flag for flags_of in USES.values() for flag in flags_of}
    rest = {"": every - {"preset"}, FLAGS.compare: used - {"preset"}}
    flag_rules.refuse_unused("compare", {**rest, None: {"preset"}})
  else:
    _check_one(name)
  warms = FLAGS["warmup"].present or has_own_warmup(compared)
  if FLAGS["initial_lr"].present and not warms:
    flag_rules.stop("--initial_lr needs --warmup")
  fronts = FLAGS["warmup"].present and not has_own_warmup(compared)
  if FLAGS["warmup_shift"].present and not fronts:
    flag_rules.stop("--warmup_shift needs --warmup in front of a schedule")


def _check_one(name):
  uses = dict(USES)
  parts = _parts()
  for part in parts:
    uses[name] += USES[part]
  flag_rules.refuse_unused("schedule", uses)
  if name == "join" and len(parts) != len(boundaries()) + 1:
    rule = "name one schedule more than --boundaries has steps"
    flag_rules.stop(f"--parts must {rule}; got {FLAGS.parts!r}")
  if name == "product" and len(parts) < 2:
    rule = "name two schedules or more with --schedule=product"
    flag_rules.stop(f"--parts must {rule}; got {FLAGS.parts!r}")
  if name == "function" and ":" not in (FLAGS.function or ""):
    rule = "be package.module:name with --schedule=function"
    flag_rules.stop(f"--function must {rule}; got {FLAGS.function!r}")
  count = len(flag_rules.read_numbers(FLAGS.values))
  if name == "piecewise_constant" and count != len(boundaries()) + 1:
    rule = "have one number more than --boundaries has steps"
    flag_rules.stop(f"--values must {rule}; got {FLAGS.values!r}")


def durations_used():
  """Names of the duration flags that the schedule reads."""
  used = {flag for name in (FLAGS.schedule, *_parts()) for flag in USES[name]}
  if FLAGS["warmup"].present or has_own_warmup():
    used.add("warmup")
  return [name for name in flag_rules.DURATIONS if name in used]


def has_own_warmup(compared=()):
  """Whether the schedule, or one that is compared, has a warmup inside."""
  return bool({FLAGS.schedule, *_parts(), *compared} & set(OWN_WARMUP))


def _parts():
  several = FLAGS.schedule in _WITH_PARTS
  return flag_rules.split(FLAGS.parts) if several else []


def boundaries():
  """The durations of --boundaries."""
  return flag_rules.split(FLAGS.boundaries)
