"""Where a fit begins and ends, and the curve it is going to follow."""

import keras
import numpy as np

import kernels
from kernels import checks
from trainloop.display import outline
from trainloop.fit import curve_check, window_length
from trainloop.model import preflight, scheduled_optimizer
from trainloop.recipes import Recipe
from trainloop.workdir import fit_plan
from trainloop.workdir.fit_entry import Origin
from trainloop.workdir.fit_plan import FitPlan, with_cycles


def checked(schedule):
  """A user's schedule: a `kernels.Schedule` or a `Recipe`, or None for None.

  Raises:
    ValueError: if it is something else.
  """
  if schedule is None or isinstance(schedule, (kernels.Schedule, Recipe)):
    return schedule
  if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
    return kernels.from_keras(schedule)
  kind = type(schedule).__name__
  return checks.fail("schedule", kind, "a kernels.Schedule, a Recipe or None")


def own(optimizer):
  """The schedule that a Keras optimizer itself brings: its rate, or its own."""
  rate = scheduled_optimizer.own_rate(optimizer)
  if isinstance(rate, float):
    return kernels.Constant(rate)
  return kernels.from_keras(rate)


def own_step(optimizer):
  """The step that an optimizer's own schedule has come to, int: a loaded one
  goes on, as in Keras."""
  constant = isinstance(scheduled_optimizer.own_rate(optimizer), float)
  return 0 if constant else int(optimizer.iterations.numpy())


def epochs(trainee, schedule, asked, source):
  """The epochs of the fit that comes.

  Args:
    trainee: the loop's `Trainee`; a recipe says how it is judged if nothing
      is `asked`.
    schedule: what was given: a `kernels.Schedule`, a `Recipe` or None.
    asked: the epochs that were given, or None for a recipe's.
    source: data source of training.

  Raises:
    ValueError: if there are none or too many, or the recipe's judge comes too
      late.
  """
  if asked is not None or not isinstance(schedule, Recipe):
    count = checks.integer("epochs", asked, 1)
  else:
    trainee.adopt(schedule)
    count = schedule.epochs_of()
  fit_plan.check_length(count, max(1, source.steps_per_epoch))
  return count


def resolve(trainee, schedule, source, epochs):
  """The kernel of a schedule, a recipe, or None: the optimizer's own."""
  if isinstance(schedule, Recipe):
    return schedule.schedule_for(source.steps_per_epoch, epochs)
  return schedule or own(trainee.binding.optimizer)


def check_curve(trainee, schedule, at, updates):
  """Refuses values that the updates of the coming fit can't follow.

  Args:
    trainee: the loop's `Trainee`, built.
    schedule: its `kernels.Schedule`.
    at: see `begin`.
    updates: how many the fit has, int.

  Raises:
    ValueError: naming the step and its value.
  """
  if at is None:
    state = trainee.state
    at = int(state.global_step.numpy()) - int(state.schedule_start.numpy())
  curve_check.check(schedule, at, at + updates)


def plan(trainee, origin, lengths, schedule, acts=(), cuts=()):
  """The `FitPlan` of a fit that begins, or began, at some place.

  Args:
    trainee: the loop's `Trainee`, built.
    origin: what `begin` gave.
    lengths: the fit's `Lengths`.
    schedule: its `kernels.Schedule`.
    acts, cuts: see `FitPlan`.

  Raises:
    ValueError: if the schedule is shorter than the fit and must not be.
  """
  fields = {**origin._asdict(), **lengths._asdict()}
  found = FitPlan(**fields, acts=acts, cuts=cuts)
  found = with_cycles(found, schedule, trainee.state.judge)
  preflight.check_overrun(schedule, found.end - found.schedule_start)
  return found


def begin(trainee, lengths, schedule, at, data):
  """Starts anew what belongs to one fit.

  Args:
    trainee, lengths, schedule: see `plan`.
    at: the step that its schedule is at now, or None where one goes on.
    data: (data source of training, that of validation or None).

  Returns:
    The fit's `Origin`.

  Raises:
    ValueError: if the schedule is shorter than the fit and must not be.
  """
  state = trainee.state
  start = int(state.global_step.numpy())
  begins = int(state.schedule_start.numpy()) if at is None else start - at
  origin = Origin(start, state.next_epoch, begins)
  plan(trainee, origin, lengths, schedule)  # refused before anything changes
  state.begin_fit(begins, _checksums(trainee, data))
  return origin


def _checksums(trainee, data):
  """What tells data apart, for judging; as the chief sees it on all workers.

  Where nothing judges nothing is asked: a checksum reads all the data.
  """
  asked = bool(trainee.state.judge.monitors)
  read = [s is not None and asked for s in data]
  found = [s.checksum() if r else -1 for s, r in zip(data, read, strict=True)]
  return [int(one) for one in trainee.workers.gather(found)[0]]


def curve(found, schedule, momentum, first=None):
  """The planned curve of a `FitPlan`: an `Outline` over global steps.

  Args:
    found: the `FitPlan`.
    schedule: see `plan`.
    momentum: the optimizer's own coefficient, float; None if it has none.
    first: global step from which it is wanted; None for the fit's start.
  """
  first, begun = found.start if first is None else first, found.schedule_start
  drawn = outline.of(schedule, first - begun, found.end - begun)
  momenta = drawn.momenta
  if momenta is None and momentum is not None:
    momenta = np.full_like(drawn.rates, momentum)
  return drawn._replace(steps=drawn.steps + begun, momenta=momenta)


def limits(trainee, programs, asked, source, validation, most, saves, visits):
  """The `Limits` of a fit's windows; see `window_length`.

  Args:
    trainee: see `plan`.
    programs: its `Programs`.
    asked: the fit's fingerprint.
    source, validation: data sources, the latter may be None.
    most: most updates of a window.
    saves: whether the run has a workdir, which all workers know alike.
    visits: whether the host must see the model at each epoch's end.

  Raises:
    ValueError: if the run would never see a validation that it needs.
  """
  preflight.check_validation(
    trainee.state.judge.monitors,
    validation,
    asked["validate_steps"],
    asked["steps_per_epoch"] * asked["epochs"],
  )
  programs.place(source)
  found = window_length.limits(
    asked,
    min(most, source.most_steps),
    validates=validation is not None or bool(trainee.state.judge.monitors),
    saves=saves,
    crosses=source.crosses and not visits,
  )
  source.stage(found.updates)
  return found
