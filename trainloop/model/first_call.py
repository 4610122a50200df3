"""A model's first call, and what other shapes of data it takes after it."""

import contextlib

import keras
import tensorflow as tf

from kernels import callables, checks
from trainloop.data import structures
from trainloop.devices import strategies
from trainloop.model import layer_states, lookups, seen_ops, targets
from trainloop.model.objective import Compiled

_ERRORS = (
  ValueError,
  TypeError,
  AttributeError,
  NotImplementedError,
  tf.errors.OpError,
)


def share(example, parts):
  """What a model is called with at once: a part of a batch.

  Args:
    example: (x, y, sample_weight) of a batch, arrays or tensors.
    parts: replicas times micro-batches that a batch is divided into.

  Returns:
    The same of its first examples, as tensors.
  """
  count = int(structures.examples(example))
  return structures.tensors(structures.part(example, 0, -(-count // parts)))


@contextlib.contextmanager
def resting(model, strategy):
  """A context in which calls of a model leave its state as it is.

  What layers carry on that are only built by a call starts from zero.
  """

  def states():
    return [
      *(v.value for v in model.non_trainable_variables),
      *layer_states.of(model),
    ]

  variables = states()
  before = strategy.run(lambda: [v.read_value() for v in variables])
  yield

  def put_back(before):
    for variable, old in zip(variables, before, strict=True):
      variable.assign(old)

  if len(states()) > len(variables):
    layer_states.reset(model)
  strategy.run(put_back, args=(before,))


class FirstCall:
  """A model's first call, and what shapes of data it takes after that.

  Args:
    model: a compiled keras.Model.
    strategy: the strategy it was made under.
    objective: its `Compiled` or `PerExample`.
    accumulate: micro-batches of an update.

  Attributes:
    batch: (x, y, sample_weight) of the first data as the model is called with,
      tensors; None before `build`.
    ops: names of the ops that the model and its loss ran, forward and, as far
      as needed, backward; those of one replica alone.
  """

  def __init__(self, model, strategy, objective, accumulate):
    self._model, self._strategy = model, strategy
    self._objective, self._accumulate = objective, accumulate
    self._compares = isinstance(objective, Compiled)
    self.batch = self._example = None
    self.ops = set()
    self._outputs = {}  # by the shapes of the data
    self._reached = None  # whether a gradient of the loss reaches a weight

  def build(self, source, loss):
    """Builds an unbuilt model and its metrics on the first batch.

    Args:
      source: the first data source that comes.
      loss: the loss as the user gave it: one, or one an output.

    Raises:
      ValueError: if the model can't be trained on the batch.
    """
    self._example, strategy = source.example, self._strategy
    _check_sizes(source.example)
    self.batch = share(source.example, self._parts())
    with resting(self._model, strategy), seen_ops.into(self.ops):
      if not self._compares:
        self._outputs[self._key(source.example)] = None
        self._objective.build(strategy, self.batch)
        return
      outputs = strategy.run(self._forward)
      output = strategies.first(strategy, outputs)
      self._outputs[self._key(source.example)] = output
      if not self._model.trainable_variables:
        checks.fail("model", self._model.name, "a model with trainable weights")
      targets.check(source, loss, self._model, output)
      self._measure(outputs)
      if not self._reached:  # it may be a loss of training alone
        strategy.run(self._forward, args=(True,))
      if not self._reached:
        _refuse_loss(self._model)

  def _measure(self, outputs):
    """Builds the metrics, or says in a line why they can't be counted."""
    try:
      self._objective.build(self._strategy, self.batch, outputs)
    except _ERRORS as error:
      if _is_final_error(error):
        raise
      if "No loss to compute" in str(error):
        rule = "given, as loss='mse', for a model without a `compute_loss` of "
        checks.fail("loss", None, f"{rule}its own, or a `step`")
      rule = f"a loss and metrics that fit the data ({callables.reason(error)})"
      text = f"`loss` and `metrics` must be {rule}"
      raise checks.ArgumentError(text) from error

  def check(self, name, source, loss):
    """Refuses data that the model does not take, or targets that don't fit.

    Args:
      name: "data" or "validation".
      source: a data source.
      loss: as in `build`.

    Raises:
      ValueError: if keys, ranks or the presence of targets differ from the
        first data's, the model does not take its shapes, or the targets differ
        where the outputs do not.
    """
    example, key = source.example, self._key(source.example)
    pairs = zip("xy", example[:2], self._example[:2], strict=True)
    for part, mine, first in pairs:
      if _ranks(mine) != _ranks(first):
        _refuse(name, part, mine, first)
    if key not in self._outputs:
      self._outputs[key] = self._trace(name, example)
    if self._compares:
      targets.check(source, loss, self._model, self._outputs[key])

  @property
  def output(self):
    """The model's output for the first batch; None without a known loss."""
    return next(iter(self._outputs.values()))

  def refusal(self, batch):
    """Why the model does not take a batch, tensors; "" if it does."""
    part = share(batch, self._parts())

    def call():
      outputs = self._objective.outputs(part, training=False)
      self._objective.loss(part, outputs, training=False)

    try:
      with resting(self._model, self._strategy):
        self._strategy.run(call)
    except _ERRORS as error:
      return callables.reason(error)
    return ""

  def check_sizes(self, name, source, evaluates):
    """Refuses batches of another size than the model's inputs say, if any.

    Args:
      name: "data" or "validation".
      source: a data source.
      evaluates: whether every example is to count.
    """
    inputs = keras.tree.flatten(getattr(self._model, "inputs", None) or [])
    fixed = {one.shape[0] for one in inputs if one.shape[0] is not None}
    size = source.batch_size
    if not fixed or size is None:
      return
    needed = min(fixed) * self._parts(evaluates)
    whole = not source.has_partial_batch(evaluates)
    if size != needed or not whole:
      got = f"batches of {size}" if whole else "a partial last batch"
      rule = f"in whole batches of {needed} examples, as the model's inputs say"
      checks.fail(name, got, rule)

  def _parts(self, evaluates=False):
    """Parts that a batch comes to the model in; see `share`."""
    replicas = self._strategy.num_replicas_in_sync
    return replicas if evaluates else replicas * self._accumulate

  def _key(self, example):
    return repr(_shapes(example[:2]))

  def _forward(self, training=False):
    """The output for the first batch; notes whether a gradient of its loss
    reaches a weight."""
    with tf.GradientTape(persistent=True) as tape:
      outputs = self._called(training)
      try:
        loss = self._objective.loss(self.batch, outputs, training)
      except Exception:  # whatever it is, `_measure` tells it
        loss = None
    # The last weights first: going back to them costs the least.
    weights = self._model.trainable_variables
    self._reached = loss is None or any(
      tape.gradient(loss, weight.value) is not None
      for weight in reversed(weights)
    )
    return outputs

  def _called(self, training):
    """What the model gives, or a line on what it does not take."""
    try:
      with lookups.checked(self._model):
        return self._objective.outputs(self.batch, training)
    except _ERRORS as error:
      if _is_final_error(error):
        raise
      leaves = structures.leaves(self.batch[0])
      shapes = [(None, *one.shape[1:]) for one in leaves]
      rule = f"of shapes that the model takes ({callables.reason(error)})"
      raise checks.ArgumentError(f"`x` must be {rule}; got {shapes}") from error

  def _trace(self, name, example):
    """The output for a batch of other shapes; traced, not run."""
    batch, traces = share(example, self._parts()), []
    specs = [tf.type_spec_from_value(one) for one in structures.leaves(batch)]

    def replica(*flat):
      part = structures.pack(batch, flat)
      traces.append(self._objective.outputs(part, training=False))

    run = self._strategy.run
    traced = tf.function(lambda *flat: run(replica, args=flat), autograph=False)
    (x, y, _), (first_x, first_y, _) = example, self._example
    try:
      traced.get_concrete_function(*specs)
    except _ERRORS as error:
      _refuse(
        name,
        "x",
        x,
        first_x,
        f", or others it takes ({callables.reason(error)})",
      )
    first = next(iter(self._outputs.values()))
    if not self._compares:
      return None
    if _shapes(traces[0]) == _shapes(first) and _shapes(y) != _shapes(first_y):
      _refuse(name, "y", y, first_y)
    return traces[0]


def _check_sizes(example):
  """Refuses a first batch without examples, or examples without numbers."""
  for part, leaves in zip("xy", example[:2], strict=True):
    for leaf in structures.leaves(leaves):
      if not structures.is_composite(leaf) and 0 in leaf.shape:
        rule = "of one example or more, each of one number or more"
        checks.fail(part, tuple(leaf.shape), rule)


def _is_final_error(error):
  """Whether an error says already what is wrong, or is a user's own."""
  return isinstance(error, checks.ArgumentError) or callables.is_users(error)


def _refuse_loss(model):
  count = len(model.trainable_variables)
  raise checks.ArgumentError(
    "`loss` must be one that the model's weights change; no gradient reaches "
    f"any of the {count} trainable ones (is it a constant, or behind "
    "tf.stop_gradient, tf.round or tf.argmax?)"
  )


def _refuse(name, part, own, first, more=""):
  rule = f"of shapes {_shapes(first)} in `{part}`, as the first data{more}"
  checks.fail(name, _shapes(own), rule)


def _shapes(part):
  """The examples' shapes: one, or {key: one}; None without."""
  if isinstance(part, dict):
    return {key: _shapes(one) for key, one in part.items()}
  if isinstance(part, (list, tuple)):
    return [_shapes(one) for one in part]
  return None if part is None else tuple(part.shape[1:])


def _ranks(part):
  """As `_shapes`, with the number of sizes in place of each."""
  if isinstance(part, dict):
    return {key: _ranks(one) for key, one in part.items()}
  if isinstance(part, (list, tuple)):
    return [_ranks(one) for one in part]
  return None if part is None else len(part.shape)
