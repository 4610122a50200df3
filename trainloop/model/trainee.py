"""What is trained: model, optimizer, objective and the state of the run."""

import contextlib
import dataclasses
import typing

import tensorflow as tf

from kernels import checks
from trainloop.base import seeds
from trainloop.devices import strategies
from trainloop.devices.collectives import Workers
from trainloop.devices.replicas import PerReplica
from trainloop.judging.judge import Judge
from trainloop.judging.options import Judging
from trainloop.model import (
  arguments,
  average,
  averaging,
  bias_correction,
  effects,
  layer_states,
  preflight,
  several,
  variable_names,
)
from trainloop.model import goal as goal_lib
from trainloop.model.coefficients import Coefficients
from trainloop.model.exclusive_calls import Turns
from trainloop.model.groups import Groups
from trainloop.model.intake import Intake
from trainloop.model.loss_scale import LossScale
from trainloop.model.precision import Numerics
from trainloop.model.state import TrainState


@dataclasses.dataclass(frozen=True)
class TraineeOptions:
  """What a model is trained for, how it is judged, how its updates compute.

  Args:
    goal: a `Goal`;  judging: a `Judging`;  numerics: a `Numerics`.
    seed, bias_correction, average: see `TrainLoop`.
    schedules: {hyperparameter: `kernels.Schedule`}, checked by `moved.check`.
    groups: {pattern: `Group`}, checked by `groups.check`.
    initial_weights: has `put(model)`, which sets its weights once it is built;
      or None.
    random_seed: what the process was seeded with when the model was made; see
      `seeds.of_process`. The `Trainee` fills it in.

  Raises:
    ValueError: if a field breaks its rule.
  """

  goal: goal_lib.Goal
  judging: Judging = dataclasses.field(default_factory=Judging)
  numerics: Numerics = dataclasses.field(default_factory=Numerics)
  seed: int = 0
  bias_correction: str = "keras"
  schedules: dict = dataclasses.field(default_factory=dict)
  groups: dict = dataclasses.field(default_factory=dict)
  initial_weights: typing.Any = None
  average: averaging.Option | None = None
  random_seed: int | None = None

  def __post_init__(self):
    checks.integer("seed", self.seed, 0, 2**32 - 1)
    averaging.checked(self.average)


class Trainee:
  """A model with its optimizer, and all that a checkpoint holds of them.

  Made under its strategy's scope. Objective, intake and state come with the
  first data, the optimizer's slots with the first schedule.

  Args:
    strategy: the `tf.distribute.Strategy`.
    model: a keras.Model, or a callable that makes one.
    optimizer: a Keras optimizer, its name, or a callable that makes one.
    options: the `TraineeOptions`.

  Attributes:
    binding: the optimizer's `Binding`.
    turns: the `Turns`: no call moves the model without one.
    workers: the `Workers` of the strategy.
    per_replica: the metrics' `PerReplica`; None with one worker.
    objective: what is minimised and measured; None before the first data.
    intake: the `Intake`: what data it takes; None before the first data.
    state: the `TrainState`; None before the first data.

  Raises:
    ValueError: if model or optimizer can't be trained.
  """

  def __init__(self, strategy, model, optimizer, options):
    self.strategy, self.workers = strategy, Workers(strategy)
    self.objective = self.intake = self.state = self.per_replica = None
    self._given = {}
    self._seeds = arguments.seeds(model, options.seed)
    self._variables = self._carried = None
    goal, numerics = options.goal, options.numerics
    with strategy.scope():
      with self._making_layers(numerics):
        self.model = arguments.model(model)
        seed = seeds.of_process()
      self.options = dataclasses.replace(options, random_seed=seed)
      arguments.check_training(self.model, goal.step)
      numerics.check_model(self.model)
      self.binding = several.bound(optimizer, options.bias_correction)
      numerics.check_optimizer(self.binding.optimizer)
      several.check_options(self.binding, options)
      further = {**self.binding.own_rates, **options.schedules}
      self.options = dataclasses.replace(self.options, schedules=further)
      own = [n for n in options.schedules if n not in goal.values]
      self.binding.check_names(own)
      averaging.check_optimizer(options.average, self.binding.optimizer)
      self.turns = Turns(
        self.model,
        self.binding.model_optimizer,
        None if goal.step else goal.metrics,
        goal.weighted_metrics,
        loss=goal.loss,
        loss_weights=goal.loss_weights,
        auto_scale_loss=False,
      )

  @contextlib.contextmanager
  def _making_layers(self, numerics):
    """A context for all that makes layers: sets their precision and, for a
    model that a callable makes, their seeds."""
    seeded = self._seeds.scope() if self._seeds else contextlib.nullcontext()
    with numerics.scope(), seeded:
      yield

  def adopt(self, recipe):
    """Takes early stopping and plateau of a `Recipe` where the user gave none.

    Raises:
      ValueError: if the run has its judge already, and it is another.
    """
    judging = self.options.judging.or_else(recipe)
    if judging != self.options.judging and self.state is not None:
      rule = "the first fit's, or given `epochs`: it brings a judge of its own"
      checks.fail("schedule", recipe.text, rule)
    self.options = dataclasses.replace(self.options, judging=judging)

  @contextlib.contextmanager
  def building(self, source):
    """Builds model and metrics on the first data; at its end, the state.

    What is compiled for the trainee is made inside, under the strategy's
    scope: if that fails there is no state, and the next data come first.

    Args:
      source: a data source.

    Raises:
      ValueError: if the model can't be trained on it.
    """
    model, optimizer = self.model, self.binding.optimizer
    with self.strategy.scope():
      with self._making_layers(self.options.numerics):  # built ones make others
        self._build_objective(source)
      kinds = {"model": model.variables, "optimizer": optimizer.variables}
      strategies.check_scope(self.strategy, kinds)
      preflight.check_monitors(
        self.options.judging.monitors, self.objective.names
      )
      yield
      self._variables = model.trainable_variables
      self._carried = layer_states.of(model)
      self.state = self._new_state()
      if self.workers.count > 1:
        metrics = self.objective.variables
        self.per_replica = PerReplica(self.strategy, metrics)

  def _build_objective(self, source):
    """What is minimised and measured; builds the model by its first call."""
    goal, numerics = self.options.goal, self.options.numerics
    self._given = {
      name: tf.Variable(
        self.options.schedules[name](0).learning_rate, trainable=False
      )
      for name in goal.values
    }
    losses = several.losses_of(self.binding, goal.step)
    self.objective = goal_lib.of(self.model, goal, self._given, losses)
    self.intake = Intake(
      self.model,
      self.strategy,
      self.objective,
      goal.loss,
      numerics.accumulate,
    )
    self.intake.build(source)
    if self.options.initial_weights is not None:
      self.options.initial_weights.put(self.model)
    decay = self.binding.optimizer.weight_decay
    groups = Groups(self.options.groups, self.model, decay)
    self.binding.bind(self.options.schedules, groups, self.model, losses)
    several.check_reach(self.binding, self.objective)
    effects.check(self.binding, self.model, self.options.schedules)

  def _new_state(self):
    binding, options = self.binding, self.options
    directions = self.objective.directions
    judge = Judge(self.model.weights, *options.judging, directions)
    products = {}
    if binding.exact:
      optimizer, moved = binding.optimizer, options.schedules
      products = bias_correction.first_products(optimizer, moved)
    scale = LossScale() if options.numerics.scales_loss else None
    return TrainState(judge, Coefficients(products, self._given), scale)

  def prepare(self, schedule):
    """Builds the optimizer's slots, and room for the best weights.

    Args:
      schedule: a `kernels.Schedule`.

    Raises:
      ValueError: if the optimizer can't follow the schedule, or layers were
        frozen or freed since the model was built.
    """
    trainable = [id(v) for v in self.model.trainable_variables]
    if trainable != [id(v) for v in self._variables]:
      rule = "left as it was: make a new TrainLoop to freeze or free layers"
      checks.fail("model.trainable", "another set of variables", rule)
    momentum = schedule(0).momentum
    momentum = None if momentum is None else float(momentum)
    averaging.check_momentum(self.options.average, momentum)
    with self.strategy.scope():
      self.binding.prepare(self.model.trainable_variables, momentum)
      if self.state.average is None:
        replicas = self.strategy.num_replicas_in_sync
        averages = average.of(
          self.binding.optimizer, self.model, replicas, self.options.average
        )
        self.state.prepare(averages, self._slots)

  def _slots(self):
    """The tf.Variables that an optimizer's updates move."""
    slots = [v.value for v in self.binding.optimizer.variables]
    return [*slots, *self.state.coefficients.products.values()]

  def learnt(self):
    """The tf.Variables of weights and optimizer; counters stay out."""
    weights = [v.value for v in self.model.variables]
    return [*weights, *self._slots(), *self.state.average.variables]

  def moved(self):
    """Everything that training moves; see `variable_names.groups`."""
    return variable_names.groups(
      self.model,
      self._carried,
      self.binding.optimizer,
      self.objective.variables,
      None if self.per_replica is None else self.per_replica.copies,
      self.state,
    )
