"""TrainLoop: what a user makes, checked and built before step 1."""

import threading

from kernels import checks
from trainloop import (
  agreement,
  durations,
  engine,
  fingerprint,
  guards,
  make,
  measure,
  peers,
  planning,
  shared_records,
  staging,
)
from trainloop import data as data_lib
from trainloop import hparams as hparams_lib
from trainloop.numerics import Numerics
from trainloop.pace import Pace
from trainloop.parts import Parts
from trainloop.progress import Progress
from trainloop.running import Running


class TrainLoop:
  """Trains a Keras model with scheduled learning rate and momentum.

  Each update's learning rate and momentum are computed in the compiled graph,
  n updates run in one call, and each leaves a row of what it used.

  Args:
    model: a keras.Model, or a callable that makes one under the strategy.
    optimizer: a Keras optimizer, its string name, or a callable.
    loss: a Keras loss or its name, one or one an output; None for a model
      with its own `compute_loss`.
    schedule: a `kernels.Schedule` or a `Recipe`; None for the optimizer's own
      rate.
    metrics: Keras metrics or their names, as `Model.compile` takes them.
    loss_weights: weights of several outputs' losses, or None.
    strategy: a `tf.distribute.Strategy` or its name; None for the one in
      scope. With several workers all make the same calls; the chief writes.
    workdir: folder for events and checkpoints; None writes nothing.
    existing: what to do with a run in the workdir. "continue": the n-th fit
      of a process is its n-th fit, and must be the same. "replan": likewise,
      but its last fit may have another schedule and length from here on.
      "refuse", or "overwrite" it.
    steps_per_loop: updates of a window, int >= 1, or "auto" for about 0.1 s;
      the result does not depend on it.
    compile: "xla" (whole windows), "graph", "auto" for the faster one by a
      rule, see `engine`, or "measure" to try both first.
    early_stopping: an `EarlyStopping` or None.
    reduce_on_plateau: a `ReduceOnPlateau` or None.
    validate_every: duration between validations, as "1ep".
    checkpoint_every: duration between checkpoints in the workdir.
    keep: checkpoints that stay, int >= 1; with one, damage to it ends the run.
    on_nonfinite: what follows an update whose loss or gradient is not finite;
      it is not applied. "raise": `NonFiniteError` names its step. "skip":
      the step advances, its row says skipped, and the run goes on. "rewind",
      or a `Rewind`: back to the last checkpoint with smaller learning rates.
    bias_correction: "keras", or "exact" for Adam, AdamW, Adamax and Lamb
      under a moving beta_1: they then divide by 1 - prod beta_1(i).
    mixed_precision: None, "bfloat16" or "float16"; see `Numerics`. A callable
      `model` is made under that policy.
    accumulate: micro-batches that an update's batch is computed in, int >= 1.
    log_every: write each row whose step is a multiple of this, int >= 1.
    hparams: {name: number, str or bool} more for TensorBoard's HParams page.
    seed: seeds Keras before a callable `model` is called.
    resident_mb, staging_mb: limits for data; see `staging.Memory`.
    verbose: whether to show progress.

  Raises:
    ValueError: if an argument breaks its rule.
  """

  @peers.guarded
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
    existing="continue",
    steps_per_loop="auto",
    compile="auto",
    early_stopping=None,
    reduce_on_plateau=None,
    validate_every="1ep",
    checkpoint_every="1ep",
    keep=2,
    on_nonfinite="raise",
    bias_correction="keras",
    mixed_precision=None,
    accumulate=1,
    log_every=1,
    hparams=None,
    histograms_every=None,
    profile=None,
    log_graph=False,
    seed=0,
    resident_mb=None,
    staging_mb=256.0,
    verbose=True,
  ):
    checks.choice("compile", compile, engine.CHOICES)
    durations.parse("validate_every", validate_every)
    durations.parse("checkpoint_every", checkpoint_every)
    self._hparams = {"seed": seed, **hparams_lib.check(hparams)}
    self._pace = Pace(steps_per_loop)
    self._kept = {
      "log_every": checks.integer("log_every", log_every, 1),
      "keep": checks.integer("keep", keep, 1),
      "existing": checks.choice("existing", existing, agreement.EXISTING),
    }
    self._stop = threading.Event()
    self._every = {"validate": validate_every, "checkpoint": checkpoint_every}
    workdir = make.workdir(workdir)
    self._guard = guards.resolve(on_nonfinite, workdir)
    self._given = make.schedule(schedule)
    self._parts = Parts(
      make.strategy(strategy),
      model,
      optimizer,
      (loss, metrics, loss_weights),
      make.judging(early_stopping, reduce_on_plateau),
      seed,
      compile,
      bias_correction,
      Numerics(mixed_precision, accumulate),
      skips=self._guard == "skip",
      memory=staging.Memory(resident_mb, staging_mb),
    )
    workers, self._saves = self._parts.workers, workdir is not None
    self._workdir = workdir if workers.is_chief else None
    self._progress = Progress(quiet=not (verbose and workers.is_chief))
    self._extra = {"log_every": log_every, "on_nonfinite": repr(self._guard)}
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

  @peers.guarded
  def fit(
    self,
    data,
    epochs=None,
    *,
    validation=None,
    schedule=None,
    steps_per_epoch=None,
  ):
    """Trains `epochs` more epochs from the present state.

    Args:
      data: an `ArrayData`, or a batched `tf.data.Dataset` of (x, y[, weight]).
      epochs: int >= 1; None for what a `Recipe` brings.
      validation: likewise, evaluated every `validate_every`; or None.
      schedule: a `kernels.Schedule` or `Recipe` that starts at its own step 0
        now; None lets the present one go on.
      steps_per_epoch: batches of an epoch, for a dataset without end.

    Returns:
      The `History` of this fit, also kept as `self.history`.

    Raises:
      ValueError: before the first update, if something can't work.
      NonFiniteError: if an update's loss or gradient is not finite.
    """
    schedule = make.schedule(schedule)
    epochs = planning.epochs(self._parts, schedule or self._given, epochs)
    source = data_lib.adapt("data", data, steps_per_epoch)
    if validation is not None:
      validation = data_lib.adapt("validation", validation)
    tell = self._progress.line
    planning.check(self._parts, source, validation, self._workdir, tell)
    begins = schedule is not None or self._schedule is None
    schedule = schedule or self._schedule or self._given
    schedule = planning.resolve(self._parts, schedule, source, epochs)
    overwrites = self._kept["existing"] == "overwrite"
    known = None if overwrites else self._workdir
    measure.once(self._parts, source, schedule, epochs, known, tell)
    asked = fingerprint.of(
      self._parts, source, epochs, schedule, self._every, self._extra
    )
    limits = planning.limits(
      self._parts, asked, source, validation, self._pace.most, self._saves
    )
    window = self._parts.window(schedule, limits)
    if self._records is None:
      self._records = shared_records.open_records(
        self._parts,
        self._workdir,
        tell=self._progress.warn,
        **self._kept,
      )
    finished = False
    try:
      entry = self._records.next_fit(asked)
      if entry is None:
        begun = planning.begin(self._parts, asked, schedule, begins)
        entry = self._records.start_fit(begun, asked)
      self._schedule = schedule
      running = Running(
        parts=self._parts,
        records=self._records,
        pace=self._pace,
        progress=self._progress,
        stop=self._stop,
        guard=self._guard,
        options=self._options,
        profile=profiles.of(self._workdir, self._options.profile),
      )
      try:
        finished = running.run(
          entry, schedule, window, limits.acts, source, validation
        )
      finally:
        self.history = running.history
      return self.history
    finally:
      self._records.close(failed=not finished)

  def stop(self):
    """Makes the running fit, or the next, end after its window; any thread.

    It saves a checkpoint, and its `stop_reason` is "preempted". The same fit
    of the same workdir goes on from there.
    """
    self._stop.set()

  @peers.guarded
  def restore_epoch(self, epoch):
    """Goes back to the weights and slots at the end of an epoch.

    Steps and rows go on counting. If the run in the workdir has gone on with
    another fit from there already, nothing is changed.

    Args:
      epoch: of the run, from 1; `keep` and `checkpoint_every` say which are
        there. That of the last one holds what the fit ended with.

    Raises:
      ValueError: if its checkpoint was not kept, or before the first `fit`.
    """
    checks.integer("epoch", epoch, 1)
    if self._records is None:
      checks.fail("epoch", epoch, "asked for after a `fit`")
    self._records.restore_epoch(epoch, self._parts.learnt())

  @peers.guarded
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

  def coming_schedule(self, source):
    """The `kernels.Schedule` that a fit on a data source would follow."""
    known = self._schedule or self._given
    epochs = getattr(known, "epochs", None) or 1
    return planning.resolve(self._parts, known, source, epochs)
