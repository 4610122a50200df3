"""TrainLoop: what a user makes, checked and built before step 1."""

import functools
import threading

from kernels import checks
from trainloop.compiled import engine_choice
from trainloop.compiled.programs import Programs
from trainloop.data import batch_errors, class_weights, counting, staging
from trainloop.data import source as data_lib
from trainloop.devices import entry, strategies
from trainloop.display import terminal
from trainloop.fit import habits, keras_callbacks, options
from trainloop.fit import schedules as schedules_lib
from trainloop.fit.callables import Callables
from trainloop.fit.fits import Fits
from trainloop.fit.host import Host
from trainloop.fit.loop_view import LoopView
from trainloop.fit.window_length import WindowLength
from trainloop.judging.options import judging
from trainloop.model import exclusive_calls, moved, predictions
from trainloop.model import groups as groups_lib
from trainloop.model.goal import Goal
from trainloop.model.precision import Numerics
from trainloop.model.trainee import Trainee, TraineeOptions
from trainloop.workdir import initial_weights as initial_weights_lib
from trainloop.workdir.tensorboard import extras


class TrainLoop(LoopView):
  """Trains a Keras model with scheduled learning rate and momentum.

  Each update's hyperparameters are computed in the compiled graph, n updates
  run in one call, and each leaves a row of what it used.

  Args:
    model: a keras.Model, or a callable that makes one under the strategy.
    optimizer: a Keras optimizer, its name, or a callable; or {name: one, or a
      `Part`} for several, each with variables and a loss of its own.
    loss: a Keras loss or its name, one or one an output; None for a model with
      its own `compute_loss`, or with a `step`.
    schedule: a `kernels.Schedule` or a `Recipe`; None for the optimizer's own
      rate, or its own schedule, which goes on from `optimizer.iterations`.
      With several optimizers a dict of them.
    schedules: {name: `kernels.Schedule` or number} of what else moves, on the
      same clock: momentum, weight_decay, beta_2, rho, clipnorm,
      global_clipnorm, clipvalue, or a further argument of `step`.
    groups: {regular expression of paths: `Group`}, or a function of the model
      that gives it, as `layer_decay`; or None.
    initial_weights: what the weights are before update 0: a keras.Model, a
      .keras or .weights.h5 file, or the workdir of another run; an
      `InitialWeights` for a part of them; or None.
    metrics: Keras metrics or their names, as `Model.compile` takes them; beside
      a `step` {output that it gives: metrics of y and that output}.
    weighted_metrics: likewise, to be weighted by sample or class weights.
    loss_weights: weights of several outputs' losses, or None.
    strategy: a `tf.distribute.Strategy` or its name; None for the one in
      scope. With several workers all make the same calls; the chief writes.
    workdir: folder for events and checkpoints, or None.
    existing: what to do with a run in the workdir. "continue": go on with it;
      the n-th fit of a process is the run's n-th fit, and must be the same.
      "replan": likewise, but the run's last fit may have another schedule and
      length from here on. "refuse": raise. "overwrite": remove it.
    steps_per_loop: updates of a window, int >= 1, or "auto" for about 0.1 s;
      the result does not depend on it.
    compile: "xla" (whole windows), "graph", "auto" for the faster one by a
      rule, see `engine`, or "measure" to try both first.
    early_stopping: an `EarlyStopping` or None.
    reduce_on_plateau: a `ReduceOnPlateau` or None.
    average: an `EMA`, `CycleAverage` or `ScheduleFree`: what is judged and
      left, or None.
    validate_every: duration between validations, as "1ep".
    checkpoint_every: duration between checkpoints in the workdir.
    keep: checkpoints that stay, int >= 1.
    on_nonfinite: what follows an update whose loss, gradient, rate or momentum
      is not finite; it is not applied. "raise": `NonFiniteError` names step and
      cause. "skip": the step advances, its row says skipped, and the run goes
      on. "rewind", or a `Rewind`: back to the last checkpoint with smaller
      learning rates.
    bias_correction: "keras", or "exact" for Adam, AdamW, Adamax and Lamb
      under a moving beta_1: they then divide by 1 - prod beta_1(i).
    mixed_precision: None, "bfloat16" or "float16"; see `Numerics`. A callable
      `model` is made under that policy.
    accumulate: micro-batches of an update's batch, int >= 1.
    log_every: TensorBoard gets each so many-th row, int >= 1, and the last of
      each epoch; "auto" for at most 10^6 rows a fit.
    hparams: {name: number, str or bool} more for TensorBoard's HParams.
    histograms_every: duration between histograms of weights and of the last
      update's gradients, as "1ep"; None for none.
    profile: global steps "first:last" that TensorFlow's profiler sees, or None.
    log_graph: whether TensorBoard gets the graph of the forward pass.
    seed: seeds Keras, TensorFlow, NumPy and `random`, int, while a callable
      `model` is made.
    on_window: called after each window with {"epoch", "step", "steps", and the
      last row's columns}; see `Callables`.
    on_epoch: called after each epoch with {"epoch", "step", "loss", "val_loss"
      and the other metrics}, while the model holds what was judged.
    callbacks: Keras callbacks that only read; see `keras_callbacks`.
    step: a function (model, x, y, training) of a batch, in graph: gives each
      example's loss, a float tensor of shape (examples,), or {"loss": that,
      name: likewise or a batch's, to be averaged}.
    resident_mb, staging_mb: limits for data; see `staging.Memory`.
    verbose: 0, 1 or 2; see `Progress`.

  Raises:
    ValueError: if an argument breaks its rule.
  """

  @entry.guarded
  @habits.answered
  def __init__(
    self,
    model,
    optimizer,
    loss=None,
    *,
    schedule=None,
    schedules=None,
    groups=None,
    initial_weights=None,
    metrics=None,
    weighted_metrics=None,
    loss_weights=None,
    strategy=None,
    workdir=None,
    existing="continue",
    steps_per_loop="auto",
    compile="auto",
    early_stopping=None,
    reduce_on_plateau=None,
    average=None,
    validate_every="1ep",
    checkpoint_every="1ep",
    keep=2,
    on_nonfinite="raise",
    bias_correction="keras",
    mixed_precision=None,
    accumulate=1,
    log_every="auto",
    hparams=None,
    histograms_every=None,
    profile=None,
    log_graph=False,
    seed=0,
    on_window=None,
    on_epoch=None,
    callbacks=None,
    step=None,
    resident_mb=None,
    staging_mb=256.0,
    verbose=True,
  ):
    checks.choice("compile", compile, engine_choice.CHOICES)
    verbose = terminal.level_of(verbose)
    chosen = options.check(
      workdir,
      existing,
      validate_every,
      checkpoint_every,
      keep,
      on_nonfinite,
      log_every,
      extras.check(
        workdir, seed, hparams, histograms_every, profile, log_graph
      ),
    )
    window_length = WindowLength(steps_per_loop)
    schedule = schedules_lib.checked(schedule, optimizer)
    further, schedule = moved.further(moved.check(schedules), schedule)
    callbacks = keras_callbacks.adopt(callbacks)
    own = Callables(on_window, on_epoch, callbacks)
    memory = staging.Memory(resident_mb, staging_mb)
    numerics = Numerics(mixed_precision, accumulate)
    values = moved.values_of_step(further, step)
    goal = Goal(loss, metrics, loss_weights, step, values, weighted_metrics)
    judges = judging(early_stopping, reduce_on_plateau)
    strategy = strategies.resolve(strategy)
    first = initial_weights_lib.first(initial_weights)
    more = (further, groups_lib.check(groups), first, average)
    aims = TraineeOptions(goal, judges, numerics, seed, bias_correction, *more)
    trainee = Trainee(strategy, model, optimizer, aims)
    skips = chosen.guard == "skip"
    programs = Programs(trainee, compile, skips, memory, window_length.most)
    self._stop = threading.Event()
    chief = trainee.workers.is_chief
    self._progress = terminal.Progress(verbose if chief else 0)
    host = Host(chosen, window_length, self._progress, own, self._stop)
    self._fits = Fits(trainee, programs, host, schedule)

  @entry.guarded
  @habits.answered
  def fit(
    self,
    data,
    epochs=None,
    *,
    validation=None,
    schedule=None,
    steps_per_epoch=None,
    trainable=None,
    class_weight=None,
  ):
    """Trains `epochs` more epochs from the present state.

    Args:
      data: an `ArrayData`, or a batched `tf.data.Dataset` of x, (x, y) or
        (x, y, weight); or Python that gives such batches: a PyDataset, an
        iterable as a DataLoader, a generator or the function that makes it.
      epochs: int >= 1; None for what a `Recipe` brings.
      validation: likewise, evaluated every `validate_every`; or None.
      schedule: a `kernels.Schedule` or `Recipe` that starts at its own step 0
        now; None lets the present one go on, and the judging with it if the
        data are the same (see README, "Train with it").
      steps_per_epoch: batches of an epoch, for data without end.
      trainable: regular expression of the paths of variables that this fit
        trains, as for `groups`; None for all, or for what a `Recipe` names.
      class_weight: {label: weight >= 0} that examples of a class count with in
        the loss of training, 1 where none is given; "balanced" for n / (k n_c)
        with n_c of n examples in each of k classes; or None.

    Returns:
      The `History` of this fit, also `self.history`.

    Raises:
      ValueError: before the first update, if something can't work.
      NonFiniteError: if an update is not finite.
      What a callable of the caller's raised, with everything saved.
    """
    names = self.trainee.binding.names
    schedule = schedules_lib.checked(schedule, names)
    data = class_weights.applied(data, class_weight)
    return self._fits.run(
      data, epochs, validation, schedule, steps_per_epoch, trainable
    )

  def stop(self):
    """Makes the running fit, or the next, end after its window; any thread.

    Its `stop_reason` is "preempted"; the same fit goes on from its checkpoint.
    """
    self._stop.set()

  @entry.guarded
  @exclusive_calls.one("restore_epoch")
  def restore_epoch(self, epoch):
    """Goes back to the weights and slots at the end of an epoch.

    Steps and rows go on counting. A run that has gone on with another fit from
    there already stays as it is.

    Args:
      epoch: epoch of the run, from 1, whose end has a checkpoint; that of a
        fit's last epoch holds what the fit ended with.

    Raises:
      ValueError: if its checkpoint was not kept, or before the first `fit`.
    """
    checks.integer("epoch", epoch, 1)
    if self._fits.records is None:
      checks.fail("epoch", epoch, "asked for after a `fit`")
    self._fits.records.restore_epoch(epoch, self.trainee.learnt())
    self.trainee.state.show()

  @entry.guarded
  @habits.answered
  @exclusive_calls.one("evaluate", reads=True)
  def evaluate(self, data):
    """Loss and metrics over all examples of some data; changes nothing.

    Args:
      data: as in `fit`.

    Returns:
      {metric name: float}, "loss" among them.

    Raises:
      ValueError: if it is empty or does not fit the model.
    """
    source = data_lib.adapt("data", data)
    self.programs.build(source)
    self.trainee.intake.check("data", source, evaluates=True)
    self.trainee.intake.show_cautions(self._progress.warn)
    with batch_errors.named(self.trainee.intake, data=source):
      empty = functools.partial(counting.no_more, "data")
      return self.programs.evaluate(source, empty)

  @entry.guarded
  @habits.answered
  @exclusive_calls.one("predict", reads=True)
  def predict(self, data):
    """The outputs for all examples of some data, by Keras' own `predict`.

    Args:
      data: an `ArrayData`, a batched `tf.data.Dataset`, or arrays as the model
        takes them.

    Returns:
      NumPy arrays in the order of the examples, of what was judged.

    Raises:
      ValueError: before the first `fit` or `evaluate`, or with several workers.
    """
    if self.trainee.state is None:
      rule = "asked for after a `fit` or `evaluate`: model.predict before it"
      checks.fail("predict", "a model without data", rule)
    return predictions.of(self.model, data, self.trainee.workers.count)

  def coming_schedule(self, source):
    """The `kernels.Schedule` that a fit on a data source would follow."""
    return self._fits.coming(source, None)
