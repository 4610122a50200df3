"""What is compiled for a trainee: windows, evaluation, histograms."""

from trainloop.compiled import micro_batches
from trainloop.compiled.engine_cache import Engines
from trainloop.compiled.histograms import Histograms
from trainloop.compiled.update import Update
from trainloop.compiled.window import Window
from trainloop.data import staging
from trainloop.model import preflight


class Programs:
  """The compiled calls of a trainee, each made once.

  Args:
    trainee: the `Trainee`.
    compile: see `engine_choice.choose`.
    skips: see `Update`.
    memory: a `staging.Memory`; None for the default.

  Attributes:
    replica: the model's `Replica`; None before the first data, as `engines`.
    engines: the `Engines`.
    memory: as it was given, or the default.
  """

  def __init__(self, trainee, compile="auto", skips=False, memory=None):
    self._trainee, self._compile, self._skips = trainee, compile, skips
    self.memory = memory or staging.Memory()
    self._windows, self._histograms = {}, None
    self.replica = self.engines = None

  def build(self, source):
    """Builds the trainee on the first data that comes, and its `Replica`.

    Args:
      source: a data source.

    Raises:
      ValueError: if the model can't be trained on it.
    """
    trainee = self._trainee
    if trainee.state is not None:
      return
    with trainee.building(source):
      replica = micro_batches.replica_for(trainee, source.example)
      engines = Engines(self._compile, trainee.strategy, replica)
      engines.choose(source)
    self.replica, self.engines = replica, engines

  def admit(self, source, validation=None):
    """Takes the data of a fit or sweep: builds for them, or refuses them.

    Args:
      source: data source of training; its engine is the present one then.
      validation: data source of validation, or None.

    Raises:
      ValueError: if the trainee can't be trained or measured on them.
    """
    trainee = self._trainee
    preflight.check_batch_size(source)
    replicas = trainee.strategy.num_replicas_in_sync
    trainee.options.numerics.check_batches(source, replicas)
    self.build(source)
    self.engines.choose(source)
    trainee.intake.check("data", source)
    if validation is not None:
      trainee.intake.check("validation", validation, evaluates=True)

  @property
  def engine(self):
    """The `Engine` that compiles now; None before the first data."""
    return None if self.engines is None else self.engines.present

  @property
  def evaluation(self):
    """The present engine's `Evaluation`."""
    return self.engines.evaluation

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
    trainee = self._trainee
    watched = trainee.intake.watched(source)
    batches = source.evaluation(trainee.strategy)
    measured = self.evaluation(batches, watched)
    if not int(measured.examples):
      empty()
    return {name: float(value) for name, value in measured.values.items()}

  def prepare(self, schedule):
    """Prepares the trainee for a schedule, and the engine for its optimizer.

    Args:
      schedule: a `kernels.Schedule`.

    Raises:
      ValueError: see `Trainee.prepare`.
    """
    self._trainee.prepare(schedule)
    self.engines.with_optimizer(self._trainee.binding)

  def window(self, schedule, limits, source, observe=None):
    """The compiled `Window` of a schedule; made once for the same arguments.

    Args:
      schedule: a `kernels.Schedule`.
      limits: the `Limits` of its calls.
      source: the data source that it will read.
      observe: see `Update`.

    Raises:
      ValueError: if the optimizer can't follow the schedule.
    """
    self.prepare(schedule)
    name, watched = self.engine.name, self._trainee.intake.watched(source)
    key = (name, schedule, limits.updates, limits.ends, watched, observe)
    if key not in self._windows:
      window = self.new_window(
        schedule, limits, source, self._skips, observe=observe
      )
      self._windows[key] = window
    return self._windows[key]

  def new_window(
    self, schedule, limits, source, skips, watch=None, observe=None
  ):
    """A `Window` of its own; see there, and `window`."""
    trainee, jit = self._trainee, self.engine.name == "xla"
    update = Update(
      trainee.strategy,
      self.replica,
      trainee.binding,
      trainee.state,
      schedule,
      jit=jit,
      skips=skips,
      watched=trainee.intake.watched(source),
      observe=observe,
    )
    return Window(trainee.strategy, update, trainee.state, limits, jit, watch)

  @property
  def histograms(self):
    """The model's `Histograms`, made when they are first asked for."""
    if self._histograms is None:
      trainee = self._trainee
      self._histograms = Histograms(trainee.strategy, trainee.model)
    return self._histograms

  @property
  def traces(self):
    """How often a training window was traced."""
    return sum(window.traces for window in self._windows.values())
