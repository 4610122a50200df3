"""Model, optimizer and compiled calls of a loop, made under one strategy."""

import functools

from kernels import checks
from trainloop.base import seeds
from trainloop.compiled import micro_batches
from trainloop.compiled.engines import Engines
from trainloop.compiled.histograms import Histograms
from trainloop.compiled.update import Update
from trainloop.compiled.window import Window
from trainloop.data import staging
from trainloop.devices.collectives import Workers
from trainloop.devices.replicas import PerReplica
from trainloop.judging import directions
from trainloop.judging.judge import Judge
from trainloop.model import (
  arguments,
  average,
  bias_correction,
  first_call,
  objective,
  preflight,
  variable_names,
)
from trainloop.model.loss_scale import LossScale
from trainloop.model.ranges import Ranges
from trainloop.model.scheduled_optimizer import Binding
from trainloop.model.state import TrainState
from trainloop.model.turns import Turns
from trainloop.sweep.divergence import Watch


class Parts:
  """What a loop is made of; some of it only once the first data comes.

  Args:
    strategy: the `tf.distribute.Strategy`.
    model, optimizer, seed, compile: see `TrainLoop`.
    wanted: (loss, metrics, loss_weights, step), as there.
    judging: (EarlyStopping or None, ReduceOnPlateau or None).
    bias_correction: see `Binding`.
    numerics: a `Numerics`;  skips: see `Update`.
    memory: a `staging.Memory`; None for the default.

  Attributes:
    loss, wanted, judging, numerics, seed: as they were given.
    random_seed: what the process was seeded with when the model was made;
      see `seeds.given`.
    described: what a run that goes on must be made of; see `fingerprint`.
    binding: the optimizer's `Binding`;  measures: whether to time engines.
    turns: the loop's `Turns`: no call moves the model without one.
    engines, state, metric_names, ranges, taken: None until `build`.
    directions: of the metrics that say theirs; see `directions.of_metrics`.
    workers: the `Workers` of the strategy.
    per_replica: the metrics' `PerReplica`; None with one worker.
  """

  def __init__(
    self,
    strategy,
    model,
    optimizer,
    wanted,
    judging,
    seed,
    compile,
    bias_correction,
    numerics,
    skips=False,
    memory=None,
  ):
    self.strategy, self.judging = strategy, judging
    self.numerics = numerics
    self.workers, self.per_replica = Workers(strategy), None
    self._compile, self._skips = compile, skips
    self.measures = compile == "measure"
    self.memory = memory or staging.Memory()
    self.wanted, self.seed, self.described = wanted, seed, None
    self.loss, metrics, loss_weights, self._custom = wanted
    objective.check(self._custom, self.loss, metrics, loss_weights)
    self._windows, self._histograms, self.taken = {}, None, None
    self.directions = {}
    self.engines = self.state = self.metric_names = None
    seeded = arguments.seeds(model, seed)
    self._making = functools.partial(arguments.making, numerics, seeded)
    with strategy.scope():
      with self._making():
        self.model = arguments.model(model)
        self.random_seed = seeds.given()
      arguments.check_training(self.model, self._custom)
      numerics.check_model(self.model)
      self.binding = Binding(arguments.optimizer(optimizer), bias_correction)
      numerics.check_optimizer(self.binding.optimizer)
      self.turns = Turns(
        self.model,
        self.binding.optimizer,
        metrics,
        loss=self.loss,
        loss_weights=loss_weights,
        auto_scale_loss=False,
      )

  def adopt(self, recipe):
    """Judges as a `Recipe` says, where nothing else was asked for.

    Raises:
      ValueError: if the run has its judge already, and it is another.
    """
    brought = (recipe.early_stopping, recipe.reduce_on_plateau)
    pairs = zip(self.judging, brought, strict=True)
    wanted = tuple(mine or other for mine, other in pairs)
    if wanted != self.judging and self.state is not None:
      rule = "the first fit's, or given `epochs`: it brings a judge of its own"
      checks.fail("schedule", recipe.text, rule)
    self.judging = wanted

  def build(self, source):
    """Builds model, metrics and state from the first data that comes.

    Args:
      source: a data source.

    Raises:
      ValueError: if the model can't be trained on it.
    """
    if self.state is not None:
      return
    self._first = source
    model, optimizer = self.model, self.binding.optimizer
    with self.strategy.scope():
      with self._making():  # layers may make others when built
        self._build_objective(source)
      arguments.check_scope(self.strategy, model, optimizer)
      monitors = [one.monitor for one in self.judging if one is not None]
      preflight.check_monitors(monitors, self.metric_names)
      self._step = self._make_step(source)
      self.engines = Engines(self._compile, self.strategy, self._step)
      self.engines.choose(source)
      self.directions = directions.of_metrics(
        self.metric_names, self._objective.metrics
      )
      judge = Judge(model.weights, *self.judging, self.directions)
      scale = LossScale() if self.numerics.scales_loss else None
      self.state = TrainState(judge, self._first_product(), scale)
      if self.workers.count > 1:
        metrics = self._step.metric_variables
        self.per_replica = PerReplica(self.strategy, metrics)

  def _build_objective(self, source):
    """What is minimised and measured; builds the model by its first call."""
    found = self._objective = objective.of(self.model, self._custom)
    micro = self.numerics.accumulate
    self.taken = first_call.Taken(self.model, self.strategy, found, micro)
    self.metric_names = self.taken.build(source, self.loss)

  def _make_step(self, source):
    found, taken = self._objective, self.taken
    self.ranges = Ranges(found, self.model, self.loss, taken.output)
    own = (self.model, self.binding.optimizer, found, self.ranges.lookout)
    batches = (taken.batch, source.example)
    return micro_batches.step_for(self.strategy, own, self.numerics, *batches)

  @property
  def engine(self):
    """The `Engine` that compiles now; None until `build`."""
    return None if self.engines is None else self.engines.present

  @property
  def evaluation(self):
    """The present engine's `Evaluation`."""
    return self.engines.evaluation

  def _first_product(self):
    binding = self.binding
    if not binding.exact:
      return None
    return bias_correction.first_product(binding.optimizer)

  def check_batches(self, source):
    """Refuses training data whose batches make no updates."""
    preflight.check_batch_size(source)
    replicas = self.strategy.num_replicas_in_sync
    self.numerics.check_batches(source, replicas)

  def check(self, name, source, evaluates=False):
    """Refuses data that does not fit; `evaluates` says what it is for."""
    if evaluates and self._custom is None:
      arguments.check_evaluation(self.model)
    self.taken.check_sizes(name, source, evaluates)
    if source is not self._first:
      self.taken.check(name, source, self.loss)
    self.ranges.check(name, source)

  def place(self, source):
    """Has a data source decide where its batches stand; see `Memory`."""
    source.place(self.engine.name == "xla", self.memory)

  def evaluate(self, source, empty):
    """{metric name: float} over all examples of a data source.

    Args:
      source: the data source.
      empty: what is called if its pass has no example; the values are NaN.
    """
    self.place(source)
    watched = self.ranges.watched(source)
    found = self.evaluation(source.evaluation(self.strategy), watched)
    if not int(found.examples):
      empty()
    return {name: float(value) for name, value in found.values.items()}

  def window(self, schedule, limits, source, see=None):
    """The compiled `Window` of a schedule; a known one traces nothing.

    Args:
      schedule: a `kernels.Schedule`.
      limits: a `fit_plan.Limits`.
      source: the data source that it will read.
      see: see `Update`.

    Raises:
      ValueError: if the optimizer can't follow the schedule.
    """
    self.prepare(schedule)
    name, watched = self.engine.name, self.ranges.watched(source)
    key = (name, schedule, limits.updates, limits.ends, watched, see)
    if key not in self._windows:
      made = self.new_window(schedule, limits, source, self._skips, see=see)
      self._windows[key] = made
    return self._windows[key]

  def prepare(self, schedule):
    """Builds the optimizer's slots, and room for the best weights.

    Args:
      schedule: a `kernels.Schedule`.

    Raises:
      ValueError: if the optimizer can't follow the schedule, or layers were
        frozen or freed since the model was built.
    """
    trainable = [id(v) for v in self.model.trainable_variables]
    if trainable != [id(v) for v in self._step.variables]:
      rule = "left as it was: make a new TrainLoop to freeze or free layers"
      checks.fail("model.trainable", "another set of variables", rule)
    momentum = schedule(0).momentum
    with self.strategy.scope():
      self.binding.prepare(
        self.model.trainable_variables,
        None if momentum is None else float(momentum),
      )
      if self.state.average is None:
        replicas = self.strategy.num_replicas_in_sync
        found = average.of(self.binding.optimizer, self.model, replicas)
        self.state.average = found
        self.state.judge.prepare(self._slots, lambda: found.copies)
    self.engines.with_optimizer(self.binding)

  def new_window(self, schedule, limits, source, skips, watch=None, see=None):
    """A `Window` of its own; see there, and `window`."""
    jit = self.engine.name == "xla"
    update = Update(
      self.strategy,
      self._step,
      self.binding,
      self.state,
      schedule,
      jit=jit,
      skips=skips,
      watched=self.ranges.watched(source),
      see=see,
    )
    return Window(self.strategy, update, self.state, limits, jit, watch)

  @property
  def histograms(self):
    """The model's `Histograms`, made when they are first asked for."""
    if self._histograms is None:
      self._histograms = Histograms(self.strategy, self.model)
    return self._histograms

  def watch(self, *options):
    """A sweep's `Watch`; see there."""
    with self.strategy.scope():
      return Watch(self.strategy, self._step, *options)

  def _slots(self):
    """The tf.Variables that an optimizer's updates move."""
    product = self.state.momentum_product
    return [
      *(v.value for v in self.binding.optimizer.variables),
      *([] if product is None else [product]),
    ]

  def learnt(self):
    """The tf.Variables of weights and optimizer; counters stay out."""
    weights = [v.value for v in self.model.variables]
    return [*weights, *self._slots(), *self.state.average.variables]

  @property
  def traces(self):
    """How often a training window was traced."""
    return sum(window.traces for window in self._windows.values())

  def moved(self):
    """Everything that training moves; see `variable_names.groups`."""
    return variable_names.groups(
      self.model,
      self._step.carried,
      self.binding.optimizer,
      self._step.metric_variables,
      None if self.per_replica is None else self.per_replica.copies,
      self.state,
    )
