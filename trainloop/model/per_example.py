"""A user's `step`: what it gives, checked and averaged over examples."""

import keras
import tensorflow as tf

from kernels import callables, checks
from trainloop.data import structures
from trainloop.model import lookups
from trainloop.model.objective import Objective


class PerExample(Objective):
  """A user's `step`: each example's loss, and more to average over examples.

  loss = sum(weight * step(model, x, y, training)["loss"]) / examples, plus the
  model's own `losses` (regularisers); the other values are plain means.

  Args:
    model: a keras.Model.
    step: see `TrainLoop`.
    given: {argument: tf.Variable} of what else the step is called with.
    names: of the losses that it gives, whose sum is the loss.

  Attributes:
    reach: {loss: positions of the trainable variables that change it}; empty
      before `build`.
  """

  reduces = False

  def __init__(self, model, step, given, names=("loss",)):
    self._model, self._step, self._given = model, step, given
    self.metrics, self._losses, self.reach = [], names, {}

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
      named[:] = [name for name in outputs if name != "loss"]

    strategy.run(try_it)
    self.metrics = [keras.metrics.Mean(name=name) for name in named]
    self.names = ["loss", *named]

  def outputs(self, batch, training):
    """{name: a value an example}; see `Compiled.outputs`."""
    x, y, _ = batch
    given = {name: v.read_value() for name, v in self._given.items()}
    with callables.compiled("step"):
      values = self._step(self._model, x, y, training, **given)
    if not isinstance(values, dict) and len(self._losses) == 1:
      values = {"loss": values}
    _check(values, structures.leaves(x)[0], self._losses)
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
    del batch
    for metric in self.metrics:
      metric.update_state(outputs[metric.name])

  def reset(self):
    """See `Compiled.reset`."""
    for metric in self.metrics:
      metric.reset_state()

  def results(self):
    """See `Compiled.results`."""
    return {metric.name: metric.result() for metric in self.metrics}


# They have a meaning of their own among an epoch's values or in TensorBoard.
_TAKEN = ("epoch", "step", "learning_rate", "momentum", "grad_norm", "skipped")
_TAKEN += ("epoch_loss", "plateau_scale")


def _check(values, x, losses):
  """Refuses what a step must not give."""
  if not isinstance(values, dict) or not set(losses) <= set(values):
    rule = "a tensor, or a dict with the key 'loss'"
    if len(losses) > 1:
      rule = f"a dict with a loss an optimizer: {', '.join(losses)}"
    shown = sorted(map(str, values)) if isinstance(values, dict) else "no dict"
    checks.fail("step", shown, rule)
  for name, value in values.items():
    if not isinstance(name, str) or not tf.is_tensor(value):
      kind = {name: type(value).__name__}
      checks.fail("step", kind, "one that gives {name: tensor}")
    if not name or name in _TAKEN or name.startswith("val_") or "/" in name:
      rule = f"none of {', '.join(_TAKEN)}, not empty, without val_ or /"
      checks.fail("step() name", name, rule)
    if not value.dtype.is_floating:
      checks.fail(f"step()[{name!r}]", value.dtype.name, "of a float dtype")
    fixed, examples = x.shape[0], tf.shape(x)[0]
    short = value.shape[:1].as_list() not in ([fixed], [None])
    if value.shape.rank != 1 or (fixed is not None and short):
      size = "examples" if fixed is None else fixed
      rule = f"of shape ({size},), a value an example"
      checks.fail(f"step()[{name!r}]", tuple(value.shape), rule)
    if fixed is None:  # seen when it runs; XLA knows every shape before
      text = f"`step()[{name!r}]` must have a value an example"
      tf.debugging.assert_equal(tf.shape(value)[0], examples, message=text)
