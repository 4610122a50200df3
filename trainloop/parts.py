"""Model, optimizer and compiled calls of a loop, made under one strategy."""

from trainloop import bias_correction, make, preflight
from trainloop.evaluation import Evaluation
from trainloop.hyperparameters import Binding
from trainloop.judge import Judge
from trainloop.state import TrainState
from trainloop.step import Step
from trainloop.window import Window


class Parts:
  """What a loop is made of; some of it only once the first data comes.

  Args:
    strategy: the `tf.distribute.Strategy`.
    model, optimizer, loss, metrics, loss_weights, seed: see `TrainLoop`.
    judging: (EarlyStopping or None, ReduceOnPlateau or None).
    bias_correction: see `Binding`.

  Attributes:
    binding: the optimizer's `Binding`.
    evaluation, state, metric_names: None until `build`.
  """

  def __init__(
    self,
    strategy,
    model,
    optimizer,
    loss,
    metrics,
    loss_weights,
    judging,
    seed,
    bias_correction,
  ):
    self.strategy, self.judging = strategy, judging
    self._loss, self._windows = loss, {}
    self.state = self.evaluation = self.metric_names = None
    with strategy.scope():
      self.model = make.model(model, seed)
      self.binding = Binding(make.optimizer(optimizer), bias_correction)
      self.model.compile(
        optimizer=self.binding.optimizer,
        loss=loss,
        metrics=metrics,
        loss_weights=loss_weights,
        auto_scale_loss=False,
      )

  def build(self, source):
    """Builds model, metrics and state from the first data that comes.

    Args:
      source: a data source.

    Raises:
      ValueError: if the model can't be trained on it.
    """
    if self.state is not None:
      return
    model, optimizer = self.model, self.binding.optimizer
    with self.strategy.scope():
      self._output, self.metric_names = preflight.build(
        model, self.strategy, source, self._loss
      )
      make.check_scope(self.strategy, model, optimizer)
      self._step = Step(model, optimizer)
      self.evaluation = Evaluation(self.strategy, self._step)
      judge = Judge(model.weights, *self.judging)
      self.state = TrainState(judge, self._first_product())

  def _first_product(self):
    binding = self.binding
    if not binding.exact:
      return None
    return bias_correction.first_product(binding.optimizer)

  def check(self, name, source):
    """Refuses data whose targets do not fit; see `preflight`."""
    preflight.check_source(name, source, self._loss, self._output)

  def evaluate(self, source):
    """{metric name: float} over all examples of a data source."""
    values = self.evaluation(*source.evaluation(self.strategy))
    return {name: float(value) for name, value in values.items()}

  def window(self, schedule):
    """The compiled window of a schedule; a known one traces nothing.

    Raises:
      ValueError: if the optimizer can't follow the schedule.
    """
    momentum = schedule(0).momentum
    with self.strategy.scope():
      self.binding.prepare(
        self.model.trainable_variables,
        None if momentum is None else float(momentum),
      )
    if schedule not in self._windows:
      self._windows[schedule] = Window(
        self.strategy, self._step, self.binding, self.state, schedule
      )
    return self._windows[schedule]

  @property
  def traces(self):
    """How often a training window was traced."""
    return sum(window.traces for window in self._windows.values())

  def moved(self):
    """{name: tf.Variables}: everything that training moves."""
    optimizer = self.binding.optimizer
    return {
      "model": [v.value for v in self.model.variables],
      "optimizer": [v.value for v in optimizer.variables],
      "metrics": [v.value for v in self._step.metric_variables],
      "state": list(self.state.variables),
    }
