"""TrainLoop: what a user makes, checked and built before step 1."""

import numpy as np
import tensorflow as tf

import kernels
from kernels import checks
from trainloop import data as data_lib
from trainloop import durations, make, preflight
from trainloop.evaluation import Evaluation
from trainloop.fit import Fit
from trainloop.fit_plan import FitPlan
from trainloop.history import History
from trainloop.hyperparameters import Binding, own_schedule
from trainloop.judge import Judge
from trainloop.pace import Pace
from trainloop.progress import Progress
from trainloop.state import TrainState
from trainloop.step import Step
from trainloop.tensorboard import EventWriter
from trainloop.window import Window

_COMPILE = ("auto", "graph")
_ON_NONFINITE = ("raise",)


class TrainLoop:
  """Trains a Keras model with scheduled learning rate and momentum.

  Each update's learning rate and momentum are computed in the compiled graph,
  n updates run in one call, and each leaves a row of what it used.

  Args:
    model: a keras.Model, or a callable that makes one under the strategy.
    optimizer: a Keras optimizer, its string name, or a callable.
    loss: a Keras loss or its name, one or one an output; None for a model
      with its own `compute_loss`.
    schedule: a `kernels.Schedule`; None for the optimizer's own rate.
    metrics: Keras metrics or their names, as `Model.compile` takes them.
    loss_weights: weights of several outputs' losses, or None.
    strategy: a `tf.distribute.Strategy`; None for the one in scope.
    workdir: folder for TensorBoard events; None writes nothing.
    steps_per_loop: updates of a window, int >= 1, or "auto" for about 0.1 s;
      the result does not depend on it.
    compile: "graph" or "auto".
    early_stopping: an `EarlyStopping` or None.
    reduce_on_plateau: a `ReduceOnPlateau` or None.
    validate_every: duration between validations, as "1ep".
    on_nonfinite: "raise": an update whose loss or gradient is not finite is
      not applied, and `NonFiniteError` names its step.
    log_every: write each row whose step is a multiple of this, int >= 1.
    seed: seeds Keras before a callable `model` is called.
    verbose: whether to show progress.

  Raises:
    ValueError: if an argument breaks its rule.
  """

  def __init__(
    self,
    model,
    optimizer,
    loss=None,
    *,
    schedule=None,
    metrics=None,
    loss_weights=None,
    strategy=None,
    workdir=None,
    steps_per_loop="auto",
    compile="auto",
    early_stopping=None,
    reduce_on_plateau=None,
    validate_every="1ep",
    on_nonfinite="raise",
    log_every=1,
    seed=0,
    verbose=True,
  ):
    checks.choice("compile", compile, _COMPILE)
    checks.choice("on_nonfinite", on_nonfinite, _ON_NONFINITE)
    durations.parse("validate_every", validate_every)
    self._pace = Pace(steps_per_loop)
    self._log_every = checks.integer("log_every", log_every, 1)
    self._validate_every, self._workdir = validate_every, workdir
    self._loss = loss
    self._given = make.schedule(schedule)
    self._strategy = strategy or tf.distribute.get_strategy()
    with self._strategy.scope():
      self.model = make.model(model, seed)
      self._binding = Binding(make.optimizer(optimizer))
      self.model.compile(
        optimizer=self.optimizer,
        loss=loss,
        metrics=metrics,
        loss_weights=loss_weights,
        auto_scale_loss=False,
      )
    self._progress = Progress(quiet=not verbose)
    self._judging = make.judging(early_stopping, reduce_on_plateau)
    self._state = self._step = self._evaluation = self._schedule = None
    self._windows = {}
    self.history = None

  @property
  def optimizer(self):
    """The Keras optimizer."""
    return self._binding.optimizer

  @property
  def global_step(self):
    """Global batches consumed so far, int."""
    return 0 if self._state is None else int(self._state.global_step.numpy())

  @property
  def best(self):
    """{"monitor", "value", "step", "epoch"} of the best validation, or {}."""
    return {} if self._state is None else self._state.judge.best

  @property
  def traces(self):
    """How often a training window was traced (and compiled) so far."""
    return sum(window.traces for window in self._windows.values())

  def fit(
    self, data, epochs, *, validation=None, schedule=None, steps_per_epoch=None
  ):
    """Trains `epochs` more epochs from the present state.

    Args:
      data: an `ArrayData`, or a batched `tf.data.Dataset` of (x, y[, weight]).
      epochs: int >= 1.
      validation: likewise, evaluated every `validate_every`; or None.
      schedule: a `kernels.Schedule` that starts at its own step 0 now; None
        lets the present one go on.
      steps_per_epoch: batches of an epoch, for a dataset without end.

    Returns:
      The `History` of this fit, also kept as `self.history`.

    Raises:
      ValueError: before the first update, if something can't work.
      NonFiniteError: if an update's loss or gradient is not finite.
    """
    source = data_lib.adapt("data", data, steps_per_epoch)
    if validation is not None:
      validation = data_lib.adapt("validation", validation)
    plan = self._prepare(source, validation, epochs, schedule)
    self.history = History()
    writer = self._open_writer(plan)
    fit = Fit(
      plan=plan,
      window=self._windows[self._schedule],
      evaluate=self._evaluate,
      metrics=self._evaluation,
      state=self._state,
      history=self.history,
      strategy=self._strategy,
      pace=self._pace,
      progress=self._progress,
      writer=writer,
    )
    try:
      fit.run(source, validation)
      self._finish()
    finally:
      if writer is not None:
        writer.close()
    return self.history

  def evaluate(self, data):
    """The loss and metrics over all examples of some data.

    Args:
      data: an `ArrayData`, or a batched `tf.data.Dataset` of (x, y[, weight]).

    Returns:
      {metric name: float}, "loss" among them.

    Raises:
      ValueError: if the data is empty or does not fit the model.
    """
    source = data_lib.adapt("data", data)
    self._build(source)
    preflight.check_source("data", source, self._loss, self._output)
    return self._evaluate(source)

  def _prepare(self, source, validation, epochs, schedule):
    """Checks all that a fit needs, builds what is missing; returns the plan."""
    epochs = checks.integer("epochs", epochs, 1)
    preflight.check_batch_size(source)
    self._build(source)
    for name, one in (("data", source), ("validation", validation)):
      if one is not None:
        preflight.check_source(name, one, self._loss, self._output)
    plan = self._plan(source.steps_per_epoch, epochs)
    goes_on = schedule is None and self._schedule is not None
    offset = int(self._state.schedule_start) if goes_on else plan.start
    schedule = self._schedule if goes_on else self._next_schedule(schedule)
    preflight.check_overrun(schedule, plan.end - offset)
    monitors = self._state.judge.monitors
    preflight.check_monitors(monitors, self._metric_names, validation)
    preflight.check_workdir(self._workdir, fresh=self.history is None)
    self._bind(schedule)
    self._state.schedule_start.assign(offset)
    return plan

  def _build(self, source):
    """Builds model, metrics and state from the first data that comes."""
    if self._state is not None:
      return
    with self._strategy.scope():
      self._output, self._metric_names = preflight.build(
        self.model, self._strategy, source, self._loss
      )
      make.check_scope(self._strategy, self.model, self.optimizer)
      self._step = Step(self.model, self.optimizer)
      self._evaluation = Evaluation(self._strategy, self._step)
      self._state = TrainState(Judge(self.model.weights, *self._judging))

  def _bind(self, schedule):
    """Makes the optimizer ready for a schedule; a known one traces nothing."""
    momentum = schedule(0).momentum
    with self._strategy.scope():
      self._binding.prepare(
        self.model.trainable_variables,
        None if momentum is None else float(momentum),
      )
    if schedule not in self._windows:
      self._windows[schedule] = Window(
        self._strategy, self._step, self._binding, self._state, schedule
      )
    self._schedule = schedule

  def _next_schedule(self, schedule):
    schedule = make.schedule(schedule) or self._given
    if schedule is not None:
      return schedule
    brought = own_schedule(self.optimizer)
    if isinstance(brought, float):
      return kernels.Constant(brought)
    return kernels.from_keras(brought)

  def _plan(self, steps_per_epoch, epochs):
    total = steps_per_epoch * epochs
    validate_steps = durations.to_steps(
      "validate_every", self._validate_every, steps_per_epoch, total, 1
    )
    self._state.begin_fit()
    return FitPlan(
      start=int(self._state.global_step),
      first_epoch=int(self._state.epoch),
      epochs=epochs,
      steps_per_epoch=steps_per_epoch,
      validate_steps=validate_steps,
    )

  def _open_writer(self, plan):
    """The event writer, with the whole planned curve already in it."""
    if self._workdir is None:
      return None
    writer = EventWriter(self._workdir, self._log_every)
    steps = np.arange(plan.start, plan.end) - int(self._state.schedule_start)
    rates, momenta = kernels.tabulate(self._schedule, steps)
    own = self._binding.momentum
    if momenta is None and own is not None:
      momenta = np.full_like(rates, own)
    writer.plan(plan.start, rates, momenta)
    return writer

  def _evaluate(self, source):
    values = self._evaluation(*source.evaluation(self._strategy))
    return {name: float(value) for name, value in values.items()}

  def _finish(self):
    """What a finished fit leaves in the model: averages, or best weights."""
    if self.optimizer.use_ema:
      self.optimizer.finalize_variable_values(self.model.trainable_variables)
    if self._state.judge.has_best:
      self._state.judge.restore_best()
