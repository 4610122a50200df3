"""The fits of a loop, one after another: resolved, agreed with the workdir,
run."""

import dataclasses
import typing

from kernels import combined
from trainloop.compiled.programs import Programs
from trainloop.data import batch_errors
from trainloop.data import source as data_lib
from trainloop.fit import cautions, engine_trial, schedules
from trainloop.fit.host import Host
from trainloop.fit.request import FitRequest, Inspection
from trainloop.fit.runner import FitRunner
from trainloop.model import exclusive_calls, phases, preflight
from trainloop.model.trainee import Trainee
from trainloop.workdir import claims, identity, shared_records
from trainloop.workdir.fit_entry import Lengths, Terms


class Admitted(typing.NamedTuple):
  """A fit whose arguments fit each other.

  Attributes:
    source, validation: the data sources; the second may be None.
    schedule: its `kernels.Schedule`.
    schedule_step: see `FitRequest`.
    lengths: its `Lengths`.
    at: the schedule's step at its first update.
    updates: how many it has.
  """

  source: typing.Any
  validation: typing.Any
  schedule: typing.Any
  schedule_step: int | None
  lengths: Lengths
  at: int
  updates: int


@dataclasses.dataclass
class Fits:
  """The fits of one loop, run one at a time.

  The n-th call of `fit` in a process is the n-th fit of the workdir.

  Attributes:
    trainee: the loop's `Trainee`.
    programs: its `Programs`.
    host: the loop's `Host`.
    loop_schedule: the loop's schedule or `Recipe`, or None.
    schedule: the `kernels.Schedule` of the last fit; None before the first.
    records: what the run writes; None before the first fit.
    history: that of the last fit, or None.
    made: what the trainee was made of, see `identity.made`; or None.
    said: lines of warning that were shown.
  """

  trainee: Trainee
  programs: Programs
  host: Host
  loop_schedule: typing.Any
  schedule: typing.Any = None
  records: typing.Any = None
  history: typing.Any = None
  made: typing.Any = None
  said: set = dataclasses.field(default_factory=set)

  @exclusive_calls.one("fit")
  def run(self, data, epochs, validation, schedule, steps_per_epoch, trainable):
    """One fit; see `TrainLoop.fit`, but `schedule` was checked."""
    begins = schedule or (self.schedule is None and self.loop_schedule)
    trainable = phases.check(schedules.trainable(begins, trainable))
    request = self._resolve(
      data, epochs, validation, schedule, steps_per_epoch, trainable
    )
    self._open_records()
    finished = False
    try:
      entry = self._entry(request)
      self.schedule = request.schedule
      sources = {"data": request.source, "validation": request.validation}
      with batch_errors.named(self.trainee.intake, **sources):
        finished = self._carry_out(request, entry)
    finally:
      self.records.close(failed=not finished)
    return self.history

  def coming(self, source, epochs, schedule=None):
    """The `kernels.Schedule` of a fit on a data source that would come now."""
    schedule = schedule or self.schedule or self.loop_schedule
    epochs = epochs or getattr(schedule, "epochs", None) or 1
    schedule = schedules.resolve(self.trainee, schedule, source, epochs)
    return combined.beside(schedule, self.trainee.options.schedules)

  @property
  def workdir(self):
    """The folder that this worker writes to; None for all but the chief."""
    is_chief = self.trainee.workers.is_chief
    return self.host.options.workdir if is_chief else None

  def _resolve(
    self, data, epochs, validation, schedule, steps_per_epoch, trainable
  ):
    """The `FitRequest` of a call; nothing is written before it is there."""
    fit = self.admit(
      data, epochs, validation, schedule, steps_per_epoch, trainable
    )
    trainee, source, validation = self.trainee, fit.source, fit.validation
    schedule, lengths = fit.schedule, fit.lengths
    self._choose_engine(source, validation, schedule, lengths.epochs)
    self._caution(
      cautions.of(trainee, schedule, fit.at, fit.updates, trainable)
    )
    whole = self._identity(source, validation, lengths, schedule, trainable)
    limits = self._limits(lengths, source, validation)
    table = self.programs.table(schedule)
    saves = self.host.options.saves
    return FitRequest(
      source=source,
      validation=validation,
      schedule=schedule,
      schedule_step=fit.schedule_step,
      terms=self._terms(lengths, whole),
      not_compared=whole.not_compared if saves else "",
      limits=limits,
      window=self.programs.window(table.columns, source),
      table=table,
      inspection=self._inspection(source, table.columns),
    )

  def admit(
    self, data, epochs, validation, schedule, steps_per_epoch, trainable
  ):
    """An `Admitted` of a call of `run`, all checked before anything compiles.

    Raises:
      ValueError: if something can't work.
    """
    trainee = self.trainee
    source = data_lib.adapt("data", data, steps_per_epoch)
    epochs = schedules.epochs(
      trainee, schedule or self.loop_schedule, epochs, source
    )
    if validation is not None:
      validation = data_lib.adapt("validation", validation)
    self.programs.admit(source, validation, trainable)
    if self.workdir is not None:
      preflight.check_workdir(self.workdir)
    if self.records is None and self.workdir is not None:
      claims.check(self.workdir, self._overwrites)
    trainee.intake.show_cautions(self.host.progress.warn)
    schedule_step = self._schedule_step(schedule)
    schedule = self.coming(source, epochs, schedule)
    updates = epochs * source.steps_per_epoch
    at = schedules.first_step(trainee, schedule_step)
    schedules.check_curve(trainee, schedule, at, updates)
    every = self.host.options.every
    lengths = Lengths.of(epochs, source.steps_per_epoch, every)
    schedules.check_validation(trainee, lengths, validation)
    trainee.prepare(schedule)
    return Admitted(
      source, validation, schedule, schedule_step, lengths, at, updates
    )

  def _caution(self, lines):
    """Shows those that nobody was shown yet."""
    for line in lines:
      if line not in self.said:
        self.host.progress.warn(f"warning: {line}")
    self.said.update(lines)

  @property
  def _overwrites(self):
    return self.host.options.existing == "overwrite"

  @property
  def _recorded_run(self):
    """The folder of a run that may go on; None without."""
    return None if self._overwrites else self.workdir

  def _schedule_step(self, schedule):
    """The step that the coming schedule begins at; None if one goes on."""
    if schedule is None and self.schedule is not None:
      return None
    if schedule or self.loop_schedule:
      return 0
    return schedules.own_step(self.trainee.binding.optimizer)

  def _choose_engine(self, source, validation, schedule, epochs):
    """Before the identity, which the engine is a part of; compiles."""
    engine_trial.once(
      self.trainee,
      self.programs,
      source,
      schedule,
      epochs,
      self._recorded_run,
      self.host.progress.line,
    )
    # What the run recorded has shown that it runs; it is compiled when it has
    # something to do.
    if engine_trial.recorded(self._recorded_run) != self.programs.engine.name:
      table = self.programs.table(schedule)
      self.programs.compile(table, source, validation)

  def _identity(self, source, validation, lengths, schedule, trainable):
    phase = {} if trainable is None else {"trainable": trainable}
    return identity.of(
      self.trainee,
      self.programs.engine,
      (source, validation),
      lengths,
      schedule,
      {**self.host.options.compared, **phase},
      self._made(),
    )

  def _made(self):
    """What the trainee was made of, as it was before its first update; None
    where no run or worker compares it."""
    compares = self.host.options.saves or self.trainee.workers.count > 1
    if compares and self.made is None:
      self.made = identity.made(self.trainee)
    return self.made

  def _terms(self, lengths, whole):
    log_every, engine = self.host.options.log_every, self.programs.engine
    return Terms(lengths, log_every, engine.name, whole.values)

  def _limits(self, lengths, source, validation):
    return schedules.limits(
      self.trainee,
      self.programs,
      lengths,
      source,
      validation,
      self.host.options.saves,
      self.host.callables.at_epochs,
    )

  def _inspection(self, source, columns):
    """The `Inspection` of histograms; None where nobody asks for them."""
    if self.host.options.extras.histograms_every is None:
      return None
    histograms = self.programs.histograms
    window = self.programs.window(columns, source, histograms.observe)
    return Inspection(window, histograms)

  def _open_records(self):
    """Opens the run's records, once a loop."""
    if self.records is None:
      self.records = shared_records.open_records(
        self.trainee,
        self.workdir,
        tell=self.host.progress.warn,
        **self.host.options.recording,
      )

  def _entry(self, request):
    """The fit's `FitEntry`: the recorded one if it is resumed, or a new one."""
    entry = self.records.resume(request.terms)
    if entry is not None:
      return entry
    origin = schedules.begin(
      self.trainee,
      request.terms.lengths,
      request.schedule,
      request.schedule_step,
      (request.source, request.validation),
    )
    self.programs.evaluation.reset()
    return self.records.start_fit(origin, request.terms)

  def _carry_out(self, request, entry):
    """Runs the fit; returns whether it came to its end."""
    self.history = None
    runner = FitRunner(
      self.trainee, self.programs, self.host, self.records, request, entry
    )
    try:
      return runner.run()
    finally:
      self.history = runner.history
