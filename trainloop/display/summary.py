"""What a run is, told before its first update."""

import dataclasses
import math
import os
import shlex
import typing

import tensorflow as tf

from kernels import combined
from trainloop.display import lines

_LONG = 240  # columns


class LoopFacts(typing.NamedTuple):
  """What is the same for all fits of a loop.

  Attributes:
    model: the keras.Model, built.
    optimizer: the Keras optimizer, with its slots.
    strategy: the `tf.distribute.Strategy`.
    workers: how many, int.
    precision: "bfloat16" or "float16"; None for the model's own.
    step: name of the function that stands in for the model's own methods, or
      None.
    unused_methods: names of those that the model has of its own, a list.
    average: which averages of weights there are, in words; "" without.
    groups: of parameter groups, texts in rows, the head first; [] without.
    early_stopping: an `EarlyStopping` or None.
    reduce_on_plateau: a `ReduceOnPlateau` or None.
  """

  model: typing.Any
  optimizer: typing.Any
  strategy: typing.Any
  workers: int
  precision: str | None
  step: str | None
  unused_methods: list
  average: str
  groups: list
  early_stopping: typing.Any
  reduce_on_plateau: typing.Any


class BatchFacts(typing.NamedTuple):
  """What an update is made of.

  Attributes:
    size: its examples; None where nobody knows it.
    parts: its micro-batches, int >= 1.
    left_out: examples that no batch of an epoch has, int.
  """

  size: int | None
  parts: int
  left_out: int


class FitFacts(typing.NamedTuple):
  """What one fit is going to do, and where it can be seen.

  Attributes:
    engine, reason: what compiles it, and why.
    epochs, steps_per_epoch: its length.
    batch: the `BatchFacts`.
    schedule: its `kernels.Schedule`.
    schedule_step: the schedule's own step at which the fit begins.
    updates_before: updates that the optimizer made before the first fit.
    basis: what the judge goes on from, in words, or "".
    workdir: the run's folder, or None.
    log_every: TensorBoard gets one update in so many.
    log_bytes: the most that these take.
    not_compared: what of it is not compared when it goes on, in words; or "".
    phase: which part of the model is trained, in words; "" for all.
  """

  engine: str
  reason: str
  epochs: int
  steps_per_epoch: int
  batch: BatchFacts
  schedule: typing.Any
  schedule_step: int
  updates_before: int
  basis: str
  workdir: typing.Any
  log_every: int
  log_bytes: int
  not_compared: str
  phase: str = ""


def of_loop(facts):
  """Lines that say a loop's `LoopFacts`: model, devices, judging."""
  judging, average = _judging(facts), _average(facts.average)
  return [
    lines.labelled("model", _model(facts)),
    *_step(facts),
    lines.labelled("devices", _devices(facts)),
    *([lines.labelled("average", average)] if average else []),
    *([lines.labelled("judging", judging)] if judging else []),
    *_groups(facts.groups),
  ]


def of_fit(facts):
  """Lines that say a fit's `FitFacts`."""
  left_out = facts.not_compared
  schedule, *further = _schedules(facts.schedule)
  schedule = lines.cut(schedule, _LONG) + _from(facts)
  return [
    lines.labelled("engine", f"{facts.engine}, {facts.reason}"),
    lines.labelled("run", _run(facts)),
    *([lines.labelled("phase", facts.phase)] if facts.phase else []),
    lines.labelled("schedule", schedule),
    *(lines.labelled("", lines.cut(text, _LONG)) for text in further),
    *([lines.labelled("judging", facts.basis)] if facts.basis else []),
    lines.labelled("logs", _logs(facts)),
    *([lines.labelled("identity", left_out)] if left_out else []),
  ]


def _groups(rows):
  """The lines of a table of parameter groups."""
  sizes = [max(map(len, column)) for column in zip(*rows, strict=True)]
  shown = []
  for i, row in enumerate(rows):
    cells = [c.ljust(n) for c, n in zip(row, sizes, strict=True)]
    text, label = "  ".join(cells).rstrip(), "" if i else "groups"
    shown.append(lines.labelled(label, text))
  return shown


def _run(facts):
  """The length of a fit."""
  epochs, size = facts.epochs, facts.steps_per_epoch
  text = f"{epochs} epochs of {size} steps: {epochs * size} steps"
  batch = facts.batch
  if batch.size is not None:
    text += f" of {batch.size} examples"
  if batch.parts > 1:
    text += f" in {batch.parts} micro-batches"
  if batch.left_out:
    text += f", {batch.left_out} an epoch left out"
  return text


def _logs(facts):
  """Where it is written, how much, and how to see it."""
  if facts.workdir is None:
    return "none, for there is no workdir"
  folder, every = shlex.quote(os.fspath(facts.workdir)), facts.log_every
  part = "every update" if every == 1 else f"1 update in {every}"
  size = _size(facts.log_bytes)
  text = f"{folder} ({part}, at most {size} MB): "
  return f"{text}tensorboard --logdir={folder}"


def _from(facts):
  """Where a schedule begins, if an optimizer had made updates before; or ""."""
  if facts.updates_before <= 0:
    return ""
  made = f"the optimizer has made {facts.updates_before} updates"
  return f", from its step {facts.schedule_step}: {made}"


def _schedules(schedule):
  """A schedule, and each kernel beside it, in a line of its own."""
  own, named = combined.parts_of(schedule)
  beside = [f"{name}: {brief(kernel)}" for name, kernel in named.items()]
  return [brief(own), *beside]


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


def _model(facts):
  """Name, parameters and sizes of the model."""
  weights = facts.model.weights
  trained = sum(math.prod(w.shape) for w in facts.model.trainable_weights)
  every = sum(math.prod(w.shape) for w in weights)
  text = f"{facts.model.name}, {every:,} parameters"
  if trained != every:
    text += f" ({trained:,} trained)"
  text += f", {_megabytes(weights)} MB"
  optimizer = facts.optimizer
  kind = getattr(optimizer, "text", type(optimizer).__name__)
  size = _megabytes([*weights, *optimizer.variables])
  text += f", {size} MB with {kind}'s"
  return f"{text}; {facts.precision}" if facts.precision else text


def _step(facts):
  """The line that says which methods of the model a `step` stands in for."""
  if facts.step is None or not facts.unused_methods:
    return []
  names = ", ".join(facts.unused_methods)
  return [
    lines.labelled("step", f"{facts.step}; the model's own {names} not called")
  ]


def _megabytes(variables):
  """The size of variables, as text."""
  size = sum(math.prod(v.shape) * tf.as_dtype(v.dtype).size for v in variables)
  return _size(size)


def _size(size):
  """Bytes as MB, with two significant digits, as text."""
  return f"{size / 1e6:.2g}" if size < 1e8 else f"{size / 1e6:,.0f}"


def _devices(facts):
  """The devices of the strategy, and its name."""
  strategy, workers = facts.strategy, facts.workers
  try:
    names = strategy.extended.worker_devices
    kind = type(strategy).__name__
  except RuntimeError:  # TensorFlow's default one does not say
    gpus = tf.config.list_logical_devices("GPU")
    names, kind = [gpus[0].name if gpus else "CPU:0"], "no strategy"
  names = ", ".join(":".join(name.split(":")[-2:]) for name in names)
  count = strategy.num_replicas_in_sync
  text = f"{lines.cut(names, 40)} ({kind}, {count} replica{'s' * (count > 1)})"
  return f"{text}, {workers} workers" if workers > 1 else text


def _average(text):
  """Which averages are looked at in the place of weights; "" without."""
  return text and f"{text}: validated, judged and left at the end"


def _judging(facts):
  """What early stopping and plateau wait for; "" without."""
  stopping, plateau = facts.early_stopping, facts.reduce_on_plateau
  texts = []
  if stopping is not None:
    texts.append(_patience(f"stops on {stopping.monitor}", stopping))
  if plateau is not None:
    what = f"rate x {plateau.factor:g} on {plateau.monitor}"
    texts.append(_patience(what, plateau))
  return "; ".join(texts)


def _patience(what, options):
  """What follows so many validations or cycles without improvement."""
  unit = "cycle" if options.unit == "cycle" else "validation"
  count = max(1, options.patience)
  return f"{what} after {count} {unit}{'s' * (count > 1)} not better"
