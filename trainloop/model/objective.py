"""What is minimised and measured, as ONE replica sees it."""

import inspect

import keras

from kernels import callables
from trainloop.data import structures
from trainloop.judging import directions
from trainloop.model import (
  model_metrics,
  reductions,
  sample_weights,
  targets,
)


class Objective:
  """What a replica minimises, and the metrics that go with it.

  Attributes:
    names: of the metrics, "loss" first; empty before `build`.
    metrics: the Keras metrics, whose variables `reset` sets to zero.
  """

  names, metrics = (), ()

  @property
  def variables(self):
    """The keras.Variables of the metrics."""
    return [v for metric in self.metrics for v in metric.variables]

  @property
  def directions(self):
    """Which way each metric gets better; see `directions.of_metrics`."""
    return directions.of_metrics(self.names, self.metrics)


class Compiled(Objective):
  """Loss and metrics of y and f(x), as `Model.compile` took them.

  Args:
    model: a compiled keras.Model.

  Attributes:
    reduces: whether Keras reduces examples' losses to the batch's.
    own_loss: whether the model has a `compute_loss` of its own.
  """

  reduces = True

  def __init__(self, model):
    self._model, self._measured = model, model_metrics.ModelMetrics(model)
    # A model may override compute_loss without the `training` argument.
    signature = inspect.signature(model.compute_loss)
    self._says_training = "training" in signature.parameters
    own = self.own_loss = model_metrics.overridden(model, "compute_loss")
    # A loss of the user's may give one number an example of any shape.
    self._places = 9 if sample_weights.of_keras(model.loss) else 2
    self._places = 0 if own else self._places

  @property
  def keras_loss(self):
    """The loss as the user gave it: one, or one an output."""
    return self._model.loss

  def untouched(self):
    """A context in which neither weights nor metrics move."""
    pairs = [(v, v.value) for v in self._model.trainable_variables]
    return keras.StatelessScope(state_mapping=pairs)

  @property
  def metrics(self):
    """The Keras metrics, whose variables `reset` sets to zero."""
    return self._measured.metrics

  def build(self, strategy, batch, outputs):
    """Calculates loss and metrics of a first batch, which makes them.

    Args:
      strategy: the model's strategy; called in its scope.
      batch: (x, y, sample_weight) tensors, the same for each replica.
      outputs: what `outputs` gave for it, per replica.
    """

    def update(outputs):
      value = self.loss(batch, outputs, training=True)
      reductions.check_reduced(self.keras_loss, value)
      self.count(batch, outputs)

    try:
      strategy.run(update, args=(outputs,))
    except Exception:  # a sum with regularisers fails without a reduction
      reductions.check_reduced(self.keras_loss)
      raise
    self._measured.settle()
    strategy.run(self.reset)
    names = list(model_metrics.expand(self.results()))
    self.names = ["loss", *(name for name in names if name != "loss")]

  def outputs(self, batch, training):
    """What `loss` and `count` need of a forward pass over (x, y, weight)."""
    with callables.compiled("model"):
      return self._model(batch[0], training=training)

  def loss(self, batch, outputs, training):
    """This replica's mean loss divided by the number of replicas, a scalar."""
    x, y, sample_weight = batch
    y = targets.expanded(self.keras_loss, y, self._model, outputs)
    extra = {"training": training} if self._says_training else {}
    sample_weight = sample_weights.spread(sample_weight, outputs, self._places)
    examples = structures.examples(batch)
    by_examples = model_metrics.by_examples(self._model, examples)
    with callables.compiled("loss"), by_examples:
      return self._model.compute_loss(
        x=x, y=y, y_pred=outputs, sample_weight=sample_weight, **extra
      )

  def count(self, batch, outputs):
    """Counts outputs in the metrics."""
    x, y, sample_weight = batch
    y = targets.expanded(self.keras_loss, y, self._model, outputs)
    with callables.compiled("metrics"):
      self._measured.count(x, y, outputs, sample_weight)

  def reset(self):
    """Starts the metrics again from zero."""
    self._model.reset_metrics()
    self._measured.reset()

  def results(self):
    """{name: value} of the metrics now."""
    return self._measured.results()
