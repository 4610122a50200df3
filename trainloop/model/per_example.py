"""A user's `step`: what it gives, checked and averaged over examples."""

import keras
import tensorflow as tf

from kernels import callables, checks
from trainloop.data import structures
from trainloop.model import lookups, step_values
from trainloop.model.objective import Objective


class PerExample(Objective):
  """A user's `step`: each example's loss, and more to average over examples.

  loss = sum(weight * step(model, x, y, training)["loss"]) / examples, plus the
  model's own `losses` (regularisers); the other values are plain means, one
  that is a batch's counts by its examples.

  Args:
    model: a keras.Model.
    step: see `TrainLoop`.
    given: {argument: tf.Variable} of what else the step is called with.
    names: of the losses that it gives, whose sum is the loss.
    measured: {output of the step: Keras metrics of y and it}.

  Attributes:
    reach: {loss: positions of the trainable variables that change it}; empty
      before `build`.
  """

  reduces = False

  def __init__(self, model, step, given, names=("loss",), measured=None):
    self._model, self._step, self._given = model, step, given
    self.metrics, self._losses, self.reach = [], names, {}
    self._measured, self._means = measured or {}, []

  def build(self, strategy, batch):
    """Calls the step on a first batch and makes a metric a value.

    Args:
      strategy: the model's strategy; called in its scope.
      batch: (x, y, sample_weight) tensors, the same for each replica.

    Raises:
      ValueError: if it gives something else than it must, or nothing that the
        model's weights could be trained on.
    """
    named = []

    def try_it():
      with (
        tf.GradientTape(persistent=True) as tape,
        lookups.checked(self._model),
      ):
        outputs = self.outputs(batch, training=False)
        losses = self.losses(batch, outputs, training=False)
      weights = [v.value for v in self._model.trainable_variables]
      for name, loss in zip(self._losses, losses, strict=True):
        slopes = tape.gradient(loss, weights)
        self.reach[name] = {i for i, s in enumerate(slopes) if s is not None}
        if not self.reach[name] and len(losses) == 1:
          checks.fail("step", loss, "a loss that the model's weights change")
      if self._measured and batch[1] is None:
        checks.fail("metrics", list(self._measured), "None without targets")
      self._measure(batch, outputs)
      apart = ("loss", *self._measured)
      named[:] = [name for name in outputs if name not in apart]

    strategy.run(try_it)
    strategy.run(self.reset)
    own = [m for several in self._measured.values() for m in several]
    self._means = [keras.metrics.Mean(name=name) for name in named]
    self.metrics = [*self._means, *own]
    self.names = ["loss", *(metric.name for metric in self.metrics)]
    if len(set(self.names)) < len(self.names):
      rule = "metrics of other names than values of `step`"
      checks.fail("metrics", [metric.name for metric in own], rule)

  def outputs(self, batch, training):
    """{name: a value an example}; see `Compiled.outputs`."""
    x, y, _ = batch
    given = {name: v.read_value() for name, v in self._given.items()}
    with callables.compiled("step"):
      values = self._step(self._model, x, y, training, **given)
    if not isinstance(values, dict) and len(self._losses) == 1:
      values = {"loss": values}
    first = structures.leaves(x)[0]
    step_values.check(values, first, self._losses, self._measured)
    return {name: tf.cast(v, tf.float32) for name, v in values.items()}

  def loss(self, batch, outputs, training):
    """See `Compiled.loss`: the sum of all losses."""
    losses = self.losses(batch, outputs, training)
    return losses[0] if len(losses) == 1 else tf.reduce_sum(tf.stack(losses))

  def losses(self, batch, outputs, training):
    """Each of the losses, a list of float32 scalars."""
    del training
    return [self._reduced(outputs[name], batch[2]) for name in self._losses]

  def _reduced(self, losses, weight):
    """One of them, in the order of operations that Keras has."""
    if weight is not None:
      losses = losses * tf.cast(tf.reshape(weight, [-1]), tf.float32)
    examples = tf.cast(tf.shape(losses)[0], tf.float32)
    terms = [tf.math.divide_no_nan(tf.reduce_sum(losses), examples)]
    terms += [tf.reduce_sum(one) for one in self._model.losses]
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if replicas > 1:
      terms = [one * (1.0 / replicas) for one in terms]
    return terms[0] if len(terms) == 1 else tf.reduce_sum(tf.stack(terms))

  def count(self, batch, outputs):
    """See `Compiled.count`."""
    examples = structures.examples(batch)
    for mean in self._means:
      value = outputs[mean.name]
      if value.shape.rank == 0:
        value = tf.where(examples > 0, value, 0.0)  # of no example: NaN
        mean.update_state(value, sample_weight=tf.cast(examples, tf.float32))
      else:
        mean.update_state(value)
    self._measure(batch, outputs)

  def _measure(self, batch, outputs):
    """Counts outputs in the metrics that the user gave for them."""
    for name, metrics in self._measured.items():
      for metric in metrics:
        with callables.compiled("metrics"):
          metric.update_state(batch[1], outputs[name])

  def reset(self):
    """See `Compiled.reset`."""
    for metric in self.metrics:
      metric.reset_state()

  def results(self):
    """See `Compiled.results`."""
    return {metric.name: metric.result() for metric in self.metrics}
