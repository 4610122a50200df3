"""Where a fit begins and ends, and the curve it is going to follow."""

import keras

import kernels
from kernels import checks, combined
from trainloop.fit import curve_check, window_length
from trainloop.model import (
  optimizer_parts,
  preflight,
  scheduled_optimizer,
)
from trainloop.model.schedule_free import ScheduleFree
from trainloop.recipes import Recipe
from trainloop.workdir import fit_plan, planned
from trainloop.workdir.fit_entry import Origin
from trainloop.workdir.fit_plan import FitPlan, with_cycles


def checked(schedule, optimizer=None):
  """A user's schedule: a `kernels.Schedule` or a `Recipe`, or None for None.

  Args:
    schedule: what a user gives; with several optimizers it may be a dict of
      them by their names.
    optimizer: the dict of optimizers, or their names, in order.

  Raises:
    ValueError: if it is something else.
  """
  if isinstance(schedule, dict):
    return _of_several(schedule, optimizer)
  names = _names(optimizer)
  if names and schedule is not None:
    return _of_several(dict.fromkeys(names, schedule), optimizer)
  if isinstance(schedule, kernels.Combined):
    rule = "its schedule alone, and what moves beside it in `schedules` of "
    checks.fail("schedule", "Combined", f"{rule}TrainLoop, as {{name: kernel}}")
  if schedule is None or isinstance(schedule, (kernels.Schedule, Recipe)):
    return schedule
  if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
    return kernels.from_keras(schedule)
  kind = type(schedule).__name__
  return checks.fail("schedule", kind, "a kernels.Schedule, a Recipe or None")


def _names(optimizer):
  """Names of several optimizers, in order; none of one."""
  return list(optimizer) if isinstance(optimizer, (dict, tuple)) else []


def _of_several(schedule, optimizer):
  """{optimizer: schedule} as one: the first one's, with the others beside."""
  names = _names(optimizer)
  if not names:
    rule = "a kernels.Schedule, a Recipe or None with one optimizer"
    checks.fail("schedule", sorted(map(str, schedule)), rule)
  if not set(schedule) <= set(names) or names[0] not in schedule:
    rule = f"a kernel, or {{name: kernel}} of {', '.join(names)}, {names[0]!r} "
    checks.fail("schedule", sorted(map(str, schedule)), f"{rule}among them")
  parts = {name: checked(one) for name, one in schedule.items()}
  for name, one in parts.items():
    if not isinstance(one, kernels.Schedule):
      rule = "a kernels.Schedule with several optimizers"
      checks.fail(f"schedule[{name!r}]", type(one).__name__, rule)
    if one.moves_momentum:
      rule = "one that leaves momentum alone, with several optimizers"
      checks.fail(f"schedule[{name!r}]", one, rule)
  further = [name for name in names[1:] if name in parts]
  return combined.beside(
    parts[names[0]], {optimizer_parts.rate_of(n): parts[n] for n in further}
  )


def own(optimizer):
  """The schedule that a Keras optimizer itself brings: its rate, or its own."""
  rate = scheduled_optimizer.own_rate(optimizer)
  if isinstance(rate, float):
    return kernels.Constant(rate)
  return kernels.from_keras(rate)


def own_step(optimizer):
  """The step at which an optimizer's own schedule goes on, an int.

  0 for a constant rate; else the count of updates that the optimizer has made,
  also before it was saved and loaded, as in Keras.
  """
  constant = isinstance(scheduled_optimizer.own_rate(optimizer), float)
  return 0 if constant else int(optimizer.iterations.numpy())


def epochs(trainee, schedule, count, source):
  """The epochs of the fit that comes.

  Args:
    trainee: the loop's `Trainee`; without a `count` a recipe says how it is
      judged.
    schedule: a `kernels.Schedule`, a `Recipe` or None.
    count: epochs that the user names; None for a recipe's.
    source: data source of training.

  Raises:
    ValueError: if there are none or too many, or the recipe's judge comes too
      late.
  """
  if count is not None or not isinstance(schedule, Recipe):
    count = checks.integer("epochs", count, 1)
  else:
    trainee.adopt(schedule)
    count = schedule.epochs_of()
  fit_plan.check_length(count, max(1, source.steps_per_epoch))
  return count


def trainable(schedule, pattern):
  """What a fit trains: the caller's pattern, or that of the `Recipe` that
  begins with it; None for all."""
  brings = isinstance(schedule, Recipe) and pattern is None
  return schedule.trainable if brings else pattern


def resolve(trainee, schedule, source, epochs):
  """The kernel of a schedule, a recipe, or None: the optimizer's own."""
  if isinstance(schedule, Recipe):
    return schedule.schedule_for(source.steps_per_epoch, epochs)
  return schedule or own(trainee.binding.optimizer)


def first_step(trainee, at):
  """The step of its own at which a schedule is when the coming fit begins.

  Args:
    trainee: the loop's `Trainee`, built.
    at: see `begin`.
  """
  state = trainee.state
  done = int(state.global_step.numpy()) - int(state.schedule_start.numpy())
  return done if at is None else at


def check_curve(trainee, schedule, at, updates):
  """Refuses values that the updates of the coming fit can't follow.

  Args:
    trainee: the loop's `Trainee`, built.
    schedule: its `kernels.Schedule`.
    at: what `first_step` gave.
    updates: how many the fit has, int.

  Raises:
    ValueError: naming the step and its value.
  """
  optimizer = trainee.binding.optimizer
  divides = isinstance(optimizer, keras.optimizers.Ftrl)
  curve_check.check(schedule, at, at + updates, divides)
  if isinstance(trainee.options.average, ScheduleFree):
    curve_check.check_rising(schedule, at, at + updates)
    for member in trainee.binding.groups.members:
      kernel = trainee.binding.groups.factors[member.rate]
      what = f"groups[{member.pattern!r}].lr"
      curve_check.check_rising(kernel, at, at + updates, what)
    _check_no_plateau(trainee.state.judge)
  further = {**combined.others_of(schedule), **trainee.binding.groups.factors}
  curve_check.check_further(further, at, at + updates)


def _check_no_plateau(judge):
  if judge.reduce_on_plateau is not None:
    rule = "None with `average=ScheduleFree()`, for which rates must not fall"
    checks.fail("reduce_on_plateau", judge.reduce_on_plateau, rule)


def plan(trainee, origin, lengths, schedule, wake_every=(), cuts=()):
  """The `FitPlan` of a fit that begins, or began, at some place.

  Args:
    trainee: the loop's `Trainee`, built.
    origin: what `begin` gave.
    lengths: the fit's `Lengths`.
    schedule: its `kernels.Schedule`.
    wake_every, cuts: see `FitPlan`.

  Raises:
    ValueError: if the schedule is shorter than the fit and must not be.
  """
  fields = {**origin._asdict(), **lengths._asdict()}
  planned = FitPlan(**fields, wake_every=wake_every, cuts=cuts)
  judge, averages = trainee.state.judge, trainee.state.average.by_cycle
  planned = with_cycles(planned, schedule, judge, averages)
  own, _ = combined.parts_of(schedule)
  preflight.check_overrun(own, planned.end - planned.schedule_start)
  return planned


def begin(trainee, lengths, schedule, at, data):
  """Starts anew what belongs to one fit.

  Args:
    trainee, lengths, schedule: see `plan`.
    at: the schedule's own step at which the fit begins; None where the
      schedule of the fit before goes on.
    data: (data source of training, that of validation or None).

  Returns:
    The fit's `Origin`.

  Raises:
    ValueError: if the schedule is shorter than the fit and must not be.
  """
  state = trainee.state
  start = int(state.global_step.numpy())
  begins = int(state.schedule_start.numpy()) if at is None else start - at
  origin = Origin(start, state.clock.next_epoch, begins)
  plan(trainee, origin, lengths, schedule)  # refused before anything changes
  state.begin_fit(begins, _checksums(trainee, data))
  return origin


def _checksums(trainee, data):
  """What tells data apart, for judging; as the chief sees it on all workers.

  -1 where nothing judges: a checksum reads all the data.
  """
  judges = bool(trainee.state.judge.monitors)
  sums = [s.checksum() if s is not None and judges else -1 for s in data]
  return [int(one) for one in trainee.workers.gather(sums)[0]]


def curve(plan, schedule, momentum, groups, first=None):
  """The curve that a fit is going to follow: an `Outline` over global steps.

  Args:
    plan: the `FitPlan`.
    schedule: its `kernels.Schedule`.
    momentum: the optimizer's own coefficient, float; None if it has none.
    groups: the model's `Groups`.
    first: global step from which it is wanted; None for the fit's start.
  """
  first, start = plan.start if first is None else first, plan.schedule_start
  last = plan.end - start
  own = planned.curve(schedule, first - start, last, momentum, groups)
  return own._replace(steps=own.steps + start)


def check_validation(trainee, lengths, validation):
  """Refuses a fit that would never see a validation that it needs.

  Args:
    trainee, lengths: see `plan`.
    validation: data source, or None.

  Raises:
    ValueError: if there is none, or it comes too late.
  """
  preflight.check_validation(
    trainee.state.judge.monitors,
    validation,
    lengths.validate_steps,
    lengths.updates,
  )


def limits(trainee, programs, lengths, source, validation, saves, visits):
  """The `Limits` of a fit's windows; see `window_length`.

  Args:
    trainee, lengths: see `plan`.
    programs: its `Programs`.
    source, validation: data sources, the latter may be None.
    saves: whether the run has a workdir, which all workers know alike.
    visits: whether the host must see the model at each epoch's end.
  """
  capacity = programs.capacity(source)
  limits = window_length.limits(
    lengths,
    capacity.updates,
    validates=validation is not None or bool(trainee.state.judge.monitors),
    saves=saves,
    crosses=source.crosses and not visits,
  )
  source.stage(limits.updates, capacity.updates)
  return limits
