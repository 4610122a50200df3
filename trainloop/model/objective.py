"""What is minimised and measured, as ONE replica sees it."""

import dataclasses
import inspect
import typing

import keras
import tensorflow as tf

from kernels import callables, checks
from trainloop.data import structures
from trainloop.judging import directions
from trainloop.model import lookups, model_metrics, reductions, sample_weights


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
    with callables.compiled("metrics"):
      self._measured.count(x, y, outputs, sample_weight)

  def reset(self):
    """Starts the metrics again from zero."""
    self._model.reset_metrics()
    self._measured.reset()

  def results(self):
    """{name: value} of the metrics now."""
    return self._measured.results()


class PerExample(Objective):
  """A user's `step`: each example's loss, and more to average over examples.

  loss = sum(weight * step(model, x, y, training)["loss"]) / examples, plus the
  model's own `losses` (regularisers); the other values are plain means.

  Args:
    model: a keras.Model.
    step: see `TrainLoop`.
    given: {argument: tf.Variable} of what else the step is called with.
  """

  reduces = False

  def __init__(self, model, step, given):
    self._model, self._step, self._given = model, step, given
    self.metrics = []

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
      with tf.GradientTape() as tape, lookups.checked(self._model):
        outputs = self.outputs(batch, training=False)
        loss = self.loss(batch, outputs, training=False)
      weights = self._model.trainable_variables
      slopes = tape.gradient(loss, [v.value for v in weights])
      if all(slope is None for slope in slopes):
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
    values = values if isinstance(values, dict) else {"loss": values}
    _check(values, structures.leaves(x)[0])
    return {name: tf.cast(v, tf.float32) for name, v in values.items()}

  def loss(self, batch, outputs, training):
    """See `Compiled.loss`; in the order of operations that Keras has."""
    del training
    losses, weight = outputs["loss"], batch[2]
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


@dataclasses.dataclass(frozen=True)
class Goal:
  """What a model is trained for: arguments of `TrainLoop`, as there.

  Attributes:
    values: names of the arguments that `step` has besides its four.

  Raises:
    ValueError: for functions of other arguments, or what a `step` would
      ignore.
  """

  loss: typing.Any = None
  metrics: typing.Any = None
  loss_weights: typing.Any = None
  step: typing.Any = None
  values: tuple = ()
  weighted_metrics: typing.Any = None

  def __post_init__(self):
    names = ("loss", "metrics", "loss_weights", "weighted_metrics")
    beside = {name: getattr(self, name) for name in names}
    _check_functions(**beside)
    if self.step is None:
      return
    names = ", ".join(("model, x, y, training", *self.values))
    rule = f"a function of ({names}), or None"
    more = dict.fromkeys(self.values, 0.0)
    callables.check(
      "step", self.step, None, None, None, False, rule=rule, **more
    )
    for name, value in beside.items():
      if value is not None:
        checks.fail(name, value, "None with a `step`, which gives what counts")


def of(model, step, given):
  """The objective of a model: its compiled one, or a user's `step`.

  Args:
    model, step, given: see `PerExample`; step may be None.
  """
  return Compiled(model) if step is None else PerExample(model, step, given)


def _check_functions(loss, loss_weights, **metrics):
  """Refuses functions of other arguments, and weights that are no numbers."""
  for name, value in metrics.items():
    if value is not None and not isinstance(value, (list, tuple, dict)):
      shown = f"[{value!r}]" if isinstance(value, str) else "[...]"
      checks.fail(name, value, f"a list, as {name}={shown}")
  for name, value in (("loss", loss), *metrics.items()):
    for one in tf.nest.flatten(value):
      if inspect.isroutine(one):
        rule = "a function of (y_true, y_pred)"
        callables.check(name, one, None, None, rule=rule)
  for one in tf.nest.flatten(loss_weights):
    if one is not None and not checks.is_finite(one):
      rule = "a finite number, or a list or dict of them"
      checks.fail("loss_weights", loss_weights, rule)


# They have a meaning of their own among an epoch's values or in TensorBoard.
_TAKEN = ("epoch", "step", "learning_rate", "momentum", "grad_norm", "skipped")
_TAKEN += ("epoch_loss", "plateau_scale")


def _check(values, x):
  """Refuses what a step must not give."""
  if "loss" not in values:
    rule = "a tensor, or a dict with the key 'loss'"
    checks.fail("step", sorted(map(str, values)), rule)
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
