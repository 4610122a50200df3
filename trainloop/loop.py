"""TrainLoop: what a user makes, checked and built before step 1."""

import functools
import threading

from kernels import checks
from trainloop import data as data_lib
from trainloop import (
  durations,
  engine,
  fingerprint,
  make,
  planning,
  preflight,
  records,
)
from trainloop.fit import Fit
from trainloop.history import NonFiniteError
from trainloop.pace import Pace
from trainloop.parts import Parts
from trainloop.progress import Progress

_ON_NONFINITE = ("raise", "skip")


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
    strategy: a `tf.distribute.Strategy` or its name; None for the one in
      scope.
    workdir: folder for events and checkpoints; None writes nothing. A run
      that is there already goes on: the n-th fit of a process is its n-th fit.
    steps_per_loop: updates of a window, int >= 1, or "auto" for about 0.1 s;
      the result does not depend on it.
    compile: "xla" (whole windows), "graph", or "auto" for the faster one by
      a rule; see `engine`.
    early_stopping: an `EarlyStopping` or None.
    reduce_on_plateau: a `ReduceOnPlateau` or None.
    validate_every: duration between validations, as "1ep".
    checkpoint_every: duration between checkpoints in the workdir.
    keep: checkpoints that stay, int >= 1; with one, damage to it ends the run.
    on_nonfinite: what follows an update whose loss or gradient is not finite;
      it is not applied. "raise": `NonFiniteError` names its step. "skip":
      the step advances, its row says skipped, and the run goes on.
    bias_correction: "keras", or "exact" for Adam, AdamW, Adamax and Lamb
      under a moving beta_1: they then divide by 1 - prod beta_1(i).
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
    checkpoint_every="1ep",
    keep=2,
    on_nonfinite="raise",
    bias_correction="keras",
    log_every=1,
    seed=0,
    verbose=True,
  ):
    checks.choice("compile", compile, engine.CHOICES)
    checks.choice("on_nonfinite", on_nonfinite, _ON_NONFINITE)
    durations.parse("validate_every", validate_every)
    durations.parse("checkpoint_every", checkpoint_every)
    self._pace = Pace(steps_per_loop)
    self._log_every = checks.integer("log_every", log_every, 1)
    self._keep = checks.integer("keep", keep, 1)
    self._stop = threading.Event()
    self._every = {"validate": validate_every, "checkpoint": checkpoint_every}
    self._workdir = make.workdir(workdir)
    self._given = make.schedule(schedule)
    self._progress = Progress(quiet=not verbose)
    self._parts = Parts(
      make.strategy(strategy),
      model,
      optimizer,
      loss,
      metrics,
      loss_weights,
      make.judging(early_stopping, reduce_on_plateau),
      seed,
      compile,
      bias_correction,
      skips=on_nonfinite == "skip",
    )
    self._extra = {"log_every": log_every, "on_nonfinite": on_nonfinite}
    self._records = self._schedule = None
    self.history = None

  @property
  def model(self):
    """The keras.Model."""
    return self._parts.model

  @property
  def optimizer(self):
    """The Keras optimizer."""
    return self._parts.binding.optimizer

  @property
  def parts(self):
    """The `Parts` it is made of, for what drives them otherwise than `fit`."""
    return self._parts

  @property
  def global_step(self):
    """Global batches consumed so far, int."""
    state = self._parts.state
    return 0 if state is None else int(state.global_step.numpy())

  @property
  def best(self):
    """{"monitor", "value", "step", "epoch"} of the best validation, or {}."""
    state = self._parts.state
    return {} if state is None else state.judge.best

  @property
  def engine(self):
    """The `Engine` that compiles the updates; None before the first data."""
    return self._parts.engine

  @property
  def traces(self):
    """How often a training window was traced (and compiled) so far."""
    return self._parts.traces

  @property
  def seconds(self):
    """Time spent in finished fits, over all processes of the run."""
    return 0.0 if self._records is None else self._records.seconds

  @property
  def resumed_from(self):
    """Global steps at which the run in the workdir went on after an end."""
    return [] if self._records is None else list(self._records.resumed_from)

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
    epochs = checks.integer("epochs", epochs, 1)
    source = data_lib.adapt("data", data, steps_per_epoch)
    if validation is not None:
      validation = data_lib.adapt("validation", validation)
    self._check(source, validation)
    schedule, begins = self._choose(schedule)
    asked = fingerprint.of(
      self._parts, source, epochs, schedule, self._every, self._extra
    )
    preflight.check_validation(
      self._parts.state.judge.monitors,
      validation,
      asked["validate_steps"],
      asked["steps_per_epoch"] * epochs,
    )
    limits = planning.limits(
      self._parts, asked, source, validation, self._pace.most, self._workdir
    )
    window = self._parts.window(schedule, limits)
    if self._records is None:
      self._records = records.open_records(
        self._workdir,
        self._parts.moved(),
        self._log_every,
        self._keep,
        self._progress.warn,
      )
    finished = False
    try:
      entry = self._records.next_fit(asked)
      if entry is None:
        begun = planning.begin(self._parts, asked, schedule, begins)
        entry = self._records.start_fit(begun, asked)
      self._schedule = schedule
      finished = self._train(entry, window, limits.acts, source, validation)
      return self.history
    finally:
      self._records.close(failed=not finished)

  def stop(self):
    """Makes the running fit, or the next, end after its window; any thread.

    It saves a checkpoint, and its `stop_reason` is "preempted". The same fit
    of the same workdir goes on from there.
    """
    self._stop.set()

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
    self._parts.build(source)
    self._parts.check("data", source)
    return self._parts.evaluate(source)

  def _train(self, entry, window, acts, source, validation):
    """Runs a new fit, or the rest of one that the workdir knows.

    Returns:
      Whether it came to its end; otherwise it goes on another time.
    """
    step = self.global_step
    schedule, parts = self._schedule, self._parts
    plan = planning.plan(parts, entry["begun"], entry["asked"], schedule, acts)
    self.history = self._records.history(entry, plan, step)
    if entry["done"]:
      self.history.restored = True
      self._progress.line(f"this fit is done: {self.history.stop_reason}")
      return True
    curve = functools.partial(planning.curve, parts, plan, schedule)
    if self._records.goes_on:
      self._progress.line(f"goes on at step {step} of {plan.end}")
    self._records.begin(plan, step, curve, self.history)
    fit = Fit(
      plan=plan,
      window=window,
      evaluate=parts.evaluate,
      metrics=parts.evaluation,
      state=parts.state,
      history=self.history,
      strategy=parts.strategy,
      pace=self._pace,
      progress=self._progress,
      records=self._records,
      stop_asked=self._stop.is_set,
    )
    try:
      step = fit.run(source, validation)
    except NonFiniteError as error:
      self._records.leave(error.step, self.history)
      raise
    if self.history.stop_reason == "preempted":
      self._records.leave(step, self.history)
      self._stop.clear()
      return False
    parts.finish()
    self._records.finish(step, self.history)
    return True

  def _check(self, source, validation):
    """Refuses what can't work; builds model, metrics and state if missing."""
    preflight.check_batch_size(source)
    if self._parts.engine is None:
      self._parts.build(source)
      found = self._parts.engine
      self._progress.line(f"engine: {found.name}, {found.reason}")
    self._parts.check("data", source)
    if validation is not None:
      self._parts.check("validation", validation)
    if self._workdir is not None:
      preflight.check_workdir(self._workdir)

  def coming_schedule(self, source):
    """The `kernels.Schedule` that a fit on a data source would follow."""
    del source
    return self._choose(None)[0]

  def _choose(self, schedule):
    """(schedule, whether it begins now) of the fit that comes."""
    if schedule is None and self._schedule is not None:
      return self._schedule, False
    schedule = make.schedule(schedule) or self._given
    if schedule is None:
      schedule = make.own_schedule(self.optimizer)
    return schedule, True
