"""The fits of a loop, one after another: resolved, agreed with the workdir,
run."""

import dataclasses
import threading
import typing

from trainloop.compiled.programs import Programs
from trainloop.data import batch_errors
from trainloop.data import source as data_lib
from trainloop.display.terminal import Progress
from trainloop.fit import engine_trial, schedules
from trainloop.fit.callables import Actions
from trainloop.fit.options import Options
from trainloop.fit.runner import Running
from trainloop.fit.window_length import Pace
from trainloop.model import preflight, turns
from trainloop.model.trainee import Trainee
from trainloop.workdir import (
  agreement,
  claims,
  identity,
  profiler,
  shared_records,
)
from trainloop.workdir.fit_entry import Lengths, Terms


@dataclasses.dataclass
class Fits:
  """What the fits of a loop share.

  Attributes:
    given: the loop's schedule or `Recipe`, or None.
    schedule: the `kernels.Schedule` of the last fit; None before the first.
    records: what the run writes; None before the first fit.
    history: that of the last fit, or None.
    made: what the trainee was made of, see `identity.made`; or None.
  """

  trainee: Trainee
  programs: Programs
  options: Options
  pace: Pace
  progress: Progress
  stop: threading.Event
  given: typing.Any
  actions: Actions
  schedule: typing.Any = None
  records: typing.Any = None
  history: typing.Any = None
  made: typing.Any = None

  def __post_init__(self):
    self.actions.turns = self.trainee.turns

  @turns.one("fit")
  def run(self, data, epochs, validation, schedule, steps_per_epoch):
    """One fit; see `TrainLoop.fit`, but `schedule` was checked."""
    trainee, programs = self.trainee, self.programs
    source = data_lib.adapt("data", data, steps_per_epoch)
    epochs = schedules.epochs(trainee, schedule or self.given, epochs, source)
    if validation is not None:
      validation = data_lib.adapt("validation", validation)
    programs.admit(source, validation)
    if self.workdir is not None:
      preflight.check_workdir(self.workdir)
    overwrites = self.options.existing == "overwrite"
    if self.records is None and self.workdir is not None:
      claims.check(self.workdir, overwrites)
    trainee.intake.show_cautions(self.progress.warn)
    at = self._begins_at(schedule)
    schedule = self.coming(source, epochs, schedule)
    updates = epochs * source.steps_per_epoch
    schedules.check_curve(trainee, schedule, at, updates)
    programs.prepare(schedule)  # the engine is part of what is agreed on
    known = None if overwrites else self.workdir
    tell = self.progress.line
    engine_trial.once(trainee, programs, source, schedule, epochs, known, tell)
    compared = identity.of(
      trainee,
      programs.engine,
      (source, validation),
      epochs,
      schedule,
      self.options.every,
      self.options.extra,
      self._made(),
    )
    asked = compared.values
    limits = schedules.limits(
      trainee,
      programs,
      asked,
      source,
      validation,
      self.pace.most,
      self.options.saves,
      self.actions.at_epochs,
    )
    window = programs.window(schedule, limits, source)
    self._open()
    finished = False
    try:
      lengths = Lengths.of(epochs, source.steps_per_epoch, self.options.every)
      terms = Terms(
        lengths,
        self.options.log_every,
        programs.engine.name,
        agreement.plain(asked),
      )
      entry = self.records.resume(terms)
      if entry is None:
        data = (source, validation)
        origin = schedules.begin(trainee, lengths, schedule, at, data)
        programs.evaluation.reset()
        entry = self.records.start_fit(origin, terms)
      self.schedule = schedule
      read = {"data": source, "validation": validation}
      with batch_errors.named(trainee.intake, **read):
        told = compared.text if self.options.saves else ""
        finished = self._go(entry, window, limits.acts, read, told)
    finally:
      self.records.close(failed=not finished)
    return self.history

  def _made(self):
    """What the trainee was made of, as it was before its first update; None
    where no run or worker compares it."""
    compares = self.options.saves or self.trainee.workers.count > 1
    if compares and self.made is None:
      self.made = identity.made(self.trainee)
    return self.made

  def coming(self, source, epochs, schedule=None):
    """The `kernels.Schedule` of a fit on a data source that would come now."""
    known = schedule or self.schedule or self.given
    epochs = epochs or getattr(known, "epochs", None) or 1
    return schedules.resolve(self.trainee, known, source, epochs)

  def _begins_at(self, schedule):
    """The step that the coming schedule begins at; None if one goes on."""
    if schedule is None and self.schedule is not None:
      return None
    if schedule or self.given:
      return 0
    return schedules.own_step(self.trainee.binding.optimizer)

  @property
  def workdir(self):
    """The folder that this worker writes to; None for all but the chief."""
    return self.options.workdir if self.trainee.workers.is_chief else None

  def _open(self):
    """Opens the run's records, once a loop."""
    if self.records is None:
      self.records = shared_records.open_records(
        self.trainee,
        self.workdir,
        tell=self.progress.warn,
        **self.options.kept,
      )

  def _go(self, entry, window, acts, read, told):
    """Runs what an entry of the records describes; whether it came to its
    end."""
    running = Running(
      trainee=self.trainee,
      programs=self.programs,
      records=self.records,
      pace=self.pace,
      progress=self.progress,
      stop=self.stop,
      guard=self.options.guard,
      actions=self.actions,
      extras=self.options.extras,
      profile=profiler.of(
        self.workdir, self.options.extras.profile, self.progress.warn
      ),
      identity=told,
    )
    try:
      return running.run(entry, self.schedule, window, acts, *read.values())
    finally:
      self.history = running.history
