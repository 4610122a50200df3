"""What a fit says of itself before its first update, for `display.summary`."""

import math

from trainloop.display.summary import BatchFacts, FitFacts, LoopFacts
from trainloop.model import groups, model_metrics


def of_loop(trainee):
  """The `LoopFacts` of a `Trainee`, prepared for the fit."""
  options, optimizer = trainee.options, trainee.binding.optimizer
  average = trainee.state.average  # None before a schedule is known
  early_stopping, reduce_on_plateau = options.judging
  step = options.goal.step
  return LoopFacts(
    model=trainee.model,
    optimizer=optimizer,
    strategy=trainee.strategy,
    workers=trainee.workers.count,
    precision=options.numerics.mixed_precision,
    step=step and getattr(step, "__qualname__", type(step).__qualname__),
    unused_methods=model_metrics.overridden(
      trainee.model, *model_metrics.TRAINING, *model_metrics.EVALUATING
    ),
    average=average.text if average else "",
    groups=trainee.binding.groups.table(trainee.model.trainable_variables),
    early_stopping=early_stopping,
    reduce_on_plateau=reduce_on_plateau,
  )


def of_fit(trainee, engine, request, plan, logged, workdir):
  """The `FitFacts` of a fit.

  Args:
    trainee: the loop's `Trainee`.
    engine: the `Engine` that compiles.
    request: the `FitRequest`.
    plan: the `FitPlan`.
    logged: the fit's `Logged`.
    workdir: the run's folder, or None.
  """
  judge = trainee.state.judge
  return FitFacts(
    engine=engine.name,
    reason=engine.reason,
    epochs=plan.epochs,
    steps_per_epoch=plan.steps_per_epoch,
    batch=_batch(request.source, trainee.options.numerics.accumulate),
    schedule=request.schedule,
    schedule_step=plan.start - plan.schedule_start,
    updates_before=0 if plan.start else _updates_before(trainee),
    basis=judge.basis.text if judge.monitors else "",
    workdir=workdir,
    log_every=logged.rows,
    log_bytes=logged.size(plan, trainee.binding.layout),
    not_compared=request.not_compared,
    phase=_phase(trainee, request.terms.identity.get("trainable")),
  )


def _phase(trainee, pattern):
  """Which part of the model a fit trains; "" for all that is not frozen."""
  if pattern is None:
    return ""
  _, places = groups.matches(pattern, trainee.model)
  frozen = trainee.binding.groups.frozen
  sizes = [math.prod(v.shape) for v in trainee.model.trainable_variables]
  count = sum(sizes[i] for i in places if i not in frozen)
  return f"trains {count:,} of {sum(sizes):,} parameters, {pattern}"


def _updates_before(trainee):
  """Updates that the optimizer made before the loop had it."""
  state, optimizer = trainee.state, trainee.binding.optimizer
  applied = int(state.global_step.numpy()) - int(state.clock.skipped.numpy())
  return int(optimizer.iterations.numpy()) - applied


def _batch(source, parts):
  """The `BatchFacts` of a source, none left out where nobody knows."""
  left_out = 0
  if source.num_examples is not None:
    taken = source.steps_per_epoch * source.batch_size
    left_out = max(0, source.num_examples - taken)
  return BatchFacts(source.batch_size, parts, left_out)
