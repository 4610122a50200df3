"""What a run is, told before its first update, and what came of it."""

import dataclasses
import math
import os
import shlex

import tensorflow as tf

from trainloop.model import model_metrics

_LABEL, _NAME, _ACROSS, _LONG = 10, 28, 24, 240  # columns


def of_loop(trainee):
  """What is the same for all fits of a loop: model, devices, judging.

  Args:
    trainee: the loop's `Trainee`, prepared for the fit.

  Returns:
    Lines of text.
  """
  judging, average = _judging(*trainee.options.judging), _average(trainee)
  return [
    _labelled("model", _model(trainee)),
    *_step(trainee),
    _labelled("devices", _devices(trainee)),
    *([_labelled("average", average)] if average else []),
    *([_labelled("judging", judging)] if judging else []),
  ]


def of_fit(
  trainee, engine, plan, schedule, source, workdir, shown, identity=""
):
  """What one fit is going to do, and where it can be seen.

  Args:
    trainee: the loop's `Trainee`.
    engine: the `Engine` that compiles.
    plan: the `FitPlan`.
    schedule: its `kernels.Schedule`.
    source: the data source of training.
    workdir: the run's folder, or None.
    shown: the fit's `Logged`.
    identity: what of it is not compared when it goes on, in words; or "".

  Returns:
    Lines of text.
  """
  steps = plan.epochs * plan.steps_per_epoch
  run = f"{plan.epochs} epochs of {plan.steps_per_epoch} steps: {steps} steps"
  size = source.batch_size
  run += "" if size is None else f" of {size} examples"
  if trainee.options.numerics.accumulate > 1:
    run += f" in {trainee.options.numerics.accumulate} micro-batches"
  logs = "none, for there is no workdir"
  if workdir is not None:
    folder = shlex.quote(os.fspath(workdir))
    part = "every update" if shown.rows == 1 else f"1 update in {shown.rows}"
    size = _size(shown.size(plan))
    logs = f"{folder} ({part}, at most {size} MB): "
    logs += f"tensorboard --logdir={folder}"
  judge = trainee.state.judge
  basis = judge.basis.text if judge.monitors else ""
  return [
    _labelled("engine", f"{engine.name}, {engine.reason}"),
    _labelled("run", run),
    _labelled("schedule", _cut(brief(schedule), _LONG) + _from(trainee, plan)),
    *([_labelled("judging", basis)] if basis else []),
    _labelled("logs", logs),
    *([_labelled("identity", identity)] if identity else []),
  ]


def _from(trainee, plan):
  """Where a schedule begins, if an optimizer had made updates before; or ""."""
  optimizer, state = trainee.binding.optimizer, trainee.state
  done = int(state.global_step.numpy()) - int(state.skipped.numpy())
  before = int(optimizer.iterations.numpy()) - done
  if plan.start or before <= 0:
    return ""
  step = plan.start - plan.schedule_start
  return f", from its step {step}: the optimizer has made {before} updates"


def brief(schedule):
  """A schedule as code, without the fields that have their default."""
  if isinstance(schedule, (tuple, list)):
    return f"[{', '.join(map(brief, schedule))}]"
  if not dataclasses.is_dataclass(schedule):
    return " ".join(repr(schedule).split())
  shown = [
    f"{field.name}={brief(getattr(schedule, field.name))}"
    for field in dataclasses.fields(schedule)
    if field.init and repr(getattr(schedule, field.name)) != repr(field.default)
  ]
  return f"{type(schedule).__name__}({', '.join(shown)})"


def result(history, best, restored):
  """What came of a fit.

  Args:
    history: the fit's `History`.
    best: `Judge.best`; where it is empty the loss says which epoch is best.
    restored: what the model was given back at the end, in words, or "".

  Returns:
    Lines of text.
  """
  epochs = history.epochs
  if not len(epochs.get("epoch", ())):
    return []
  row, monitor = _best_row(epochs, best)
  lines = table(epochs, row)
  if best:
    text = f"{monitor} {best['value']:.4g}, after step {best['step'] + 1}"
    lines.append(_labelled("best", f"{text} in epoch {best['epoch']}"))
  elif row is not None:
    text = f"{monitor} {epochs[monitor][row]:.4g}, at the end of epoch"
    lines.append(_labelled("best", f"{text} {epochs['epoch'][row]:g}"))
  return [*lines, _labelled("weights", restored)] if restored else lines


def table(epochs, best):
  """The metrics of the last epoch and of the best one, side by side.

  Args:
    epochs: `History.epochs`, of one epoch or more.
    best: index of the best one in it, or None.

  Returns:
    Lines of text.
  """
  last = len(epochs["epoch"]) - 1
  columns = {last: "last"}
  if best is not None:
    columns[best] = "last and best" if best == last else "best"
  names = dict.fromkeys(name.removeprefix("val_") for name in epochs)
  names.pop("epoch")
  sides = ["", "val_"] if any("val_" + n in epochs for n in names) else [""]
  words = {"": "train", "val_": "validation"}
  size = min(max(map(len, names)), _NAME)
  cell = _ACROSS // len(sides)
  heads = [f"epoch {epochs['epoch'][i]:g}, {columns[i]}" for i in columns]
  rows = {
    "": [f"{head:>{_ACROSS}}" for head in heads],
    " ": [f"{words[side]:>{cell}}" for _ in columns for side in sides],
  }
  for name in names:
    values = [(epochs.get(side + name), i) for i in columns for side in sides]
    rows[name] = [f"{_number(*value):>{cell}}" for value in values]
  return [_cut(name, size).ljust(size) + "".join(rows[name]) for name in rows]


def _best_row(epochs, best):
  """(row of the best epoch or None, name of what it is best by)."""
  if best:
    found = (epochs["epoch"] == best["epoch"]).nonzero()[0]
    return (int(found[0]) if len(found) else None), best["monitor"]
  monitor = "val_loss" if "val_loss" in epochs else "loss"
  values = epochs[monitor]
  finite = [i for i, value in enumerate(values) if math.isfinite(value)]
  return min(finite, key=lambda i: values[i], default=None), monitor


def _number(values, row):
  """A metric's value; - where there is none."""
  value = math.nan if values is None else values[row]
  return "-" if math.isnan(value) else f"{value:.4g}"


def _cut(text, size):
  """The text, or its start and two dots where it is longer."""
  return text if len(text) <= size else text[: size - 2] + ".."


def _labelled(label, text):
  return f"{label:<{_LABEL}}{text}"


def _model(trainee):
  """Name, parameters and sizes of the model."""
  weights = trainee.model.weights
  trained = sum(math.prod(w.shape) for w in trainee.model.trainable_weights)
  every = sum(math.prod(w.shape) for w in weights)
  text = f"{trainee.model.name}, {every:,} parameters"
  if trained != every:
    text += f" ({trained:,} trained)"
  text += f", {_megabytes(weights)} MB"
  slots = trainee.binding.optimizer.variables
  text += f", {_megabytes([*weights, *slots])} MB with {_kind(trainee)}'s"
  precision = trainee.options.numerics.mixed_precision
  return f"{text}; {precision}" if precision else text


def _step(trainee):
  """The line that says which methods of the model a `step` stands in for."""
  step = trainee.options.goal.step
  own = model_metrics.overridden(
    trainee.model, *model_metrics.TRAINING, *model_metrics.EVALUATING
  )
  if step is None or not own:
    return []
  name = getattr(step, "__qualname__", type(step).__qualname__)
  text = f"{name}; the model's own {', '.join(own)} not called"
  return [_labelled("step", text)]


def _kind(trainee):
  return type(trainee.binding.optimizer).__name__


def _megabytes(variables):
  """The size of variables, as text."""
  size = sum(math.prod(v.shape) * tf.as_dtype(v.dtype).size for v in variables)
  return _size(size)


def _size(size):
  """Bytes as MB, with two significant digits, as text."""
  return f"{size / 1e6:.2g}" if size < 1e8 else f"{size / 1e6:,.0f}"


def _devices(trainee):
  """The devices of the strategy, and its name."""
  strategy = trainee.strategy
  try:
    names = strategy.extended.worker_devices
    kind = type(strategy).__name__
  except RuntimeError:  # TensorFlow's default one does not say
    gpus = tf.config.list_logical_devices("GPU")
    names, kind = [gpus[0].name if gpus else "CPU:0"], "no strategy"
  names = ", ".join(":".join(name.split(":")[-2:]) for name in names)
  count = strategy.num_replicas_in_sync
  text = f"{_cut(names, 40)} ({kind}, {count} replica{'s' * (count > 1)})"
  workers = trainee.workers.count
  return f"{text}, {workers} workers" if workers > 1 else text


def _average(trainee):
  """Which averages are looked at in the place of weights; "" without."""
  if not trainee.state.average:
    return ""
  decay = trainee.binding.optimizer.ema_momentum
  return f"of weights, decay {decay:g}: validated, judged and left at the end"


def _judging(stopping, plateau):
  """What early stopping and plateau wait for; "" without."""
  said = []
  if stopping is not None:
    unit = "cycle" if stopping.unit == "cycle" else "validation"
    said.append(_patience(f"stops on {stopping.monitor}", stopping, unit))
  if plateau is not None:
    unit = "cycle" if plateau.unit == "cycle" else "validation"
    what = f"rate x {plateau.factor:g} on {plateau.monitor}"
    said.append(_patience(what, plateau, unit))
  return "; ".join(said)


def _patience(what, options, unit):
  count = max(1, options.patience)
  return f"{what} after {count} {unit}{'s' * (count > 1)} not better"
