"""What is compiled for a trainee: windows, evaluation, histograms."""

from concurrent import futures

from trainloop.base import seeds
from trainloop.compiled import micro_batches
from trainloop.compiled.engine_cache import Engines
from trainloop.compiled.histograms import Histograms
from trainloop.compiled.statistics import StatisticsPass
from trainloop.compiled.table import Table, columns_of
from trainloop.compiled.update import Update
from trainloop.compiled.window import Capacity, Window
from trainloop.data import staging
from trainloop.data.protocol import Stream
from trainloop.model import averaging, phases, preflight
from trainloop.model.scheduled_optimizer import MOMENTUM


class Programs:
  """The compiled calls of a trainee, each made once.

  Args:
    trainee: the `Trainee`.
    compile: see `engine_choice.choose`.
    skips: see `Update`.
    memory: a `staging.Memory`; None for the default.
    most: most updates of a window, int >= 1.

  Attributes:
    replica: the model's `Replica`; None before the first data, as `engines`.
    engines: the `Engines`.
  """

  def __init__(self, trainee, compile="auto", skips=False, memory=None, most=1):
    self._trainee, self._compile, self._skips = trainee, compile, skips
    self._memory, self._most = memory or staging.Memory(), most
    self._windows, self._tables, self._statistics = {}, {}, {}
    self._histograms = None
    self._compiled = set()  # the windows that XLA is known to run
    self.replica = self.engines = self._phase = None

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
      ops = trainee.intake.ops
      engines = Engines(self._compile, trainee.strategy, replica, ops)
      engines.choose(source)
    self.replica, self.engines = replica, engines

  def admit(self, source, validation=None, trainable=None):
    """Takes the data of a fit or sweep: builds for them, or refuses them.

    Args:
      source: data source of training; its engine is the present one then.
      validation: data source of validation, or None.
      trainable: pattern of what windows train from now on; see `phases.of`.

    Raises:
      ValueError: if the trainee can't be trained or measured on them.
    """
    trainee = self._trainee
    averaging.check_data(trainee.options.average, source)
    preflight.check_batch_size(source)
    replicas = trainee.strategy.num_replicas_in_sync
    trainee.options.numerics.check_batches(source, replicas)
    self.build(source)
    groups = trainee.binding.groups
    self._phase = phases.of(trainable, trainee.model, groups)
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
    source.place(self.engine.name == "xla", self._memory)

  def capacity(self, source):
    """The `Capacity` of the windows that read a data source; places it."""
    self.place(source)
    return Capacity.of(source, self._most)

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

  def recompute_statistics(self, source):
    """Computes moving statistics anew, at the model's present weights.

    Args:
      source: the data source of training.
    """
    self.place(source)
    strategy, jit = self._trainee.strategy, self.engine.name == "xla"
    key = (self.engine.name, self._phase.frozen)
    if key not in self._statistics:
      self._statistics[key] = StatisticsPass(
        strategy, self.replica, self._phase, jit
      )
    self._statistics[key](source.evaluation(strategy))

  def compile(self, table, source, validation=None):
    """Compiles what will train on a data source, where XLA is to: if it can't,
    the engine is the graph from now on. No update is made.

    Args:
      table: the `Table` of a schedule, for which the trainee is prepared.
      source: the data source.
      validation: that of a validation, which is compiled beside it; or None.

    Raises:
      ValueError: if XLA was asked for and can't.
    """
    if self.engine.name != "xla":
      return
    window = self.window(table.columns, source)
    if window in self._compiled:
      return
    # TensorFlow draws a number only to learn a device's name.
    with seeds.preserved(), futures.ThreadPoolExecutor(1) as aside:
      none = source.no_batches(window.capacity.updates)
      compiling = aside.submit(window.attempt(table, none))
      if validation is not None:
        self._compile_evaluation(validation)
      why = compiling.result()
    if why:
      self.engines.give_way(why)
    self._compiled.add(window)

  def _compile_evaluation(self, validation):
    """Compiles a validation that XLA reads; others are traced when due."""
    if validation.arrays is None:
      return  # an iterator that is not read would move a dataset's seeds
    self.place(validation)
    parts = validation.evaluation(self._trainee.strategy)
    if not any(isinstance(part, Stream) for part in parts):
      watched = self._trainee.intake.watched(validation)
      self.evaluation.compile(parts, watched)

  def table(self, schedule, columns=None):
    """The `Table` of a schedule; made once for the same arguments.

    Args:
      schedule: a `kernels.Schedule`.
      columns: names of its columns; None for those that the schedule fills.
    """
    groups = self._trainee.binding.groups
    columns = columns or columns_of(schedule, groups.factors)
    own, state = self._trainee.binding.momentum, self._trainee.state
    key = (schedule, columns, own)
    if key not in self._tables:
      self._tables[key] = Table(state, schedule, groups, columns, own)
    return self._tables[key]

  def window(self, columns, source, observe=None):
    """The compiled `Window` for such tables; made once for the same arguments.

    Args:
      columns: names of the tables' columns.
      source: the data source that it will read.
      observe: see `Update`; then its calls do one update.
    """
    capacity = self.capacity(source)
    if observe is not None:
      capacity = Capacity(updates=1, ends=0)
    name, watched = self.engine.name, self._trainee.intake.watched(source)
    # The optimizer's own momentum is a constant of the program.
    moves = MOMENTUM in columns
    own = None if moves else self._trainee.binding.momentum
    partial = source.has_partial_batch(evaluates=False)
    whole = source.fixed_batches and not partial
    frozen = self._phase.frozen
    key = (name, columns, capacity, watched, observe, own, whole, frozen)
    if key not in self._windows:
      self._windows[key] = self._new_window(
        columns, capacity, watched, observe, whole
      )
    return self._windows[key]

  def _new_window(self, columns, capacity, watched, observe, whole):
    trainee, jit = self._trainee, self.engine.name == "xla"
    update = Update(
      trainee.strategy,
      self.replica,
      trainee.binding,
      trainee.state,
      columns,
      self._phase,
      jit=jit,
      skips=self._skips,
      watched=watched,
      observe=observe,
    )
    return Window(trainee.strategy, update, trainee.state, capacity, jit, whole)

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
