"""What is due between two windows: judging, an epoch's end, a checkpoint."""

import functools

import tensorflow as tf

from trainloop.workdir import fit_plan


class Boundary:
  """The work that a plan says is due between two windows, in this order.

  1. Where a cycle of the schedule ends, an average may take the weights in,
     and the judge may copy what it sees.
  2. The weights are validated, and the validation is judged.
  3. An epoch ends.
  4. A checkpoint is saved, which includes the results of 1 to 3.

  Args:
    request: the `FitRequest`.
    plan: the `FitPlan`: what is due when.
    state: the run's `TrainState`.
    programs: the loop's `Programs`, which evaluate.
    history: the fit's `History`; it holds the step up to which 1 to 3 are done.
    records: the run's records, which save checkpoints; see `records`.
    reporter: the `Reporter`.
    consensus: the `Consensus`: whether a failed save is tried again.
  """

  def __init__(
    self,
    request,
    plan,
    state,
    programs,
    history,
    records,
    reporter,
    consensus,
  ):
    self._source, self._validation = request.source, request.validation
    self._plan, self._state, self._programs = plan, state, programs
    self._metrics, self._history = programs.evaluation, history
    self._records, self._reporter = records, reporter
    self._consensus = consensus

  def begin(self):
    """Has the data begin where the fit does, or the last checkpoint was."""
    first, count = self._plan.first_epoch, self._plan.epochs
    self._source.begin(first, self._records.position, count)

  def is_due(self, done):
    """Whether the work due after `done` updates has not been done yet.

    This holds, too, for a resumed run that was stopped between a window and
    the validation after it.
    """
    return self._history.handled < done

  def after(self, done):
    """What is due after `done` updates; returns why to stop, or None."""
    plan, stop = self._plan, None
    if plan.ends_cycle(done):
      self._average_cycle(done)
    if plan.ends_cycle(done) or plan.validates(done):
      with self._state.average.swapped_in(done):
        stop = self._judge(done)
    if plan.ends_epoch(done) or stop:
      self._end_epoch(done, self._goes_on(done, stop))
    self._history.handle(done)
    due = plan.saves(done) or self._consensus.owes_save
    if due and self._goes_on(done, stop):
      self._save(done)
    return stop

  def note_position(self, done):
    """Has the next checkpoint hold where the data is after `done` updates."""
    position = self._source.position(*self._plan.position(done))
    self._records.keep_position(position)

  def _goes_on(self, done, stop):
    return done < self._plan.end and not stop

  def _average_cycle(self, done):
    """Takes the weights at a cycle's end into averages that wait for it."""
    average = self._state.average
    average.end_cycle()
    if average.recomputes:
      with average.restated(done):
        self._programs.recompute_statistics(self._source)

  def _judge(self, done):
    """The end of a cycle, and a validation; returns why to stop, or None."""
    if self._plan.ends_cycle(done):
      self._state.judge.end_cycle(tf.constant(done - 1, tf.int64))
    judges = self._validation is not None or self._state.judge.monitors
    if not (self._plan.validates(done) and judges):
      return None
    return self._validate(done)

  def _validate(self, done):
    """Evaluates and judges after `done` updates; returns why to stop."""
    measured = {} if self._validation is None else self._evaluate(done)
    validated = self._reporter.validation(done, measured)
    metrics = {**self._training(), **validated}
    judge, scale = self._state.judge, self._scale()
    epoch, update = fit_plan.epoch_number(self._plan, done), done - 1
    stop = judge.verdict(metrics, update, epoch, **self._plan.flags(done))
    if int(judge.best_step.numpy()) == update:
      self._reporter.best(done, judge.best)
    if judge.reduce_on_plateau is not None:
      goes_on = self._goes_on(done, stop)
      self._reporter.plateau(done, scale, self._scale(), goes_on)
    return stop

  def _evaluate(self, done):
    """{metric name: float} of a pass over the validation data."""
    evaluate = functools.partial(self._programs.evaluate, self._validation)
    return self._reporter.around_validation(done, evaluate)

  def _scale(self):
    """The factor that a plateau has put on the learning rates."""
    return float(self._state.judge.scale.numpy())

  def _training(self):
    """{name: float}: training metrics of the epoch so far."""
    metrics = self._metrics.training_metrics(self._state.clock.mean_loss())
    return {name: float(value) for name, value in metrics.items()}

  def _end_epoch(self, done, goes_on):
    """Ends the epoch that is over, or left to a stop, after `done` updates."""
    scale = self._state.loss_scale
    scale = None if scale is None else scale.value.numpy()
    values = self._reporter.epoch(done, self._training(), scale)
    if self._reporter.calls_at_epochs:
      with self._state.average.swapped_in(done):
        self._reporter.call_at_epoch(done, values, goes_on)
    self._metrics.reset()
    self._state.clock.end_epoch()

  def _save(self, done):
    self._reporter.catch_up()
    self.note_position(done)
    self._records.save(done, self._history)
    self._reporter.saved(done)
