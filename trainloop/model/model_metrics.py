"""What a Keras model measures itself, counted as the loop counts."""

import contextlib
import functools

import keras
import tensorflow as tf

from kernels import checks


@contextlib.contextmanager
def by_examples(model, examples):
  """A context in which losses of single outputs count by their examples.

  value = sum over batches of (examples * the batch's loss) / sum of examples

  Keras weighs a batch by its static size; where that is not known every batch
  counts the same, a partial one as much as a whole one.

  Args:
    model: a compiled keras.Model, whose `compute_loss` is called inside.
    examples: int32 scalar tensor, examples of the batch.
  """
  # Private: nothing public says which of `model.metrics` are these.
  # `test_model_metrics.py` notices if they move.
  trackers = list(getattr(model._compile_loss, "metrics", ()))
  for tracker in trackers:
    update = functools.partial(_update, tracker, examples)
    vars(tracker)["update_state"] = update
  try:
    yield
  finally:
    for tracker in trackers:
      vars(tracker).pop("update_state", None)


def _update(tracker, examples, value, sample_weight=None):
  """`Mean.update_state` with the examples as the weight; 0 of them add 0."""
  del sample_weight
  value = tf.where(examples > 0, value, tf.zeros_like(value))
  keras.metrics.Mean.update_state(tracker, value, sample_weight=examples)


# Methods by which Keras trains and evaluates, which the loop does not call.
TRAINING = ("train_step", "make_train_function")
EVALUATING = ("test_step", "make_test_function", "evaluate")


def overridden(model, *names):
  """Those of some methods of `keras.Model` that a model has of its own."""
  kind = type(model)
  return [n for n in names if getattr(kind, n) is not getattr(keras.Model, n)]


class Returned(keras.metrics.Metric):
  """What a model's own `compute_metrics` gave last for a name, as Keras logs.

  Over several replicas it is their mean.

  Args:
    name: str.
    shape: of the value.
  """

  def __init__(self, name, shape):
    super().__init__(name=name)
    self.value = self.add_variable(tuple(shape), "zeros", name="value")

  def update_state(self, value):
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    self.value.assign(tf.cast(value, self.value.dtype) / replicas)

  def reset_state(self):
    self.value.assign(tf.zeros_like(self.value))

  def result(self):
    return self.value


class ModelMetrics:
  """The metrics of a model: those it has, as its `compute_metrics` gives them.

  A value that a model's own `compute_metrics` adds or changes is its last; the
  rest are the metrics' own results.

  Args:
    model: a compiled keras.Model.
  """

  def __init__(self, model):
    self._model = model
    self._overridden = bool(overridden(model, "compute_metrics"))
    self._shapes, self._names, self._returned = {}, None, []

  @property
  def metrics(self):
    """The Keras metrics that hold it all."""
    return [*self._model.metrics, *self._returned]

  def settle(self):
    """Makes a metric for each value that the first `count` met and that is no
    metric's own result; called under the strategy's scope."""
    shapes = self._shapes.items()
    self._returned = [Returned(name, shape) for name, shape in shapes]

  def count(self, x, y, y_pred, sample_weight):
    """Counts outputs in the metrics; as one replica sees it.

    Raises:
      ValueError: if a model's own `compute_metrics` gives no dict.
    """
    found, plain = self._compute(x, y, y_pred, sample_weight)
    if not self._overridden:
      return
    if self._names is None:
      self._names = list(found)
      changed = [name for name in found if found[name] is not plain.get(name)]
      self._shapes = {n: tf.shape(found[n]).numpy() for n in changed}
    for metric in self._returned:
      metric.update_state(found[metric.name])

  def _compute(self, *batch):
    """(what `compute_metrics` gives, what the metrics gave it)."""
    model, plain = self._model, {}
    results = model.get_metrics_result

    def get_metrics_result():
      plain.update(results())
      return dict(plain)

    # Seen from outside: a result that goes through unchanged is a metric's.
    vars(model)["get_metrics_result"] = get_metrics_result
    try:
      x, y, y_pred, sample_weight = batch
      found = model.compute_metrics(x, y, y_pred, sample_weight=sample_weight)
    finally:
      vars(model).pop("get_metrics_result", None)
    if not isinstance(found, dict):
      kind = type(found).__name__
      checks.fail("model.compute_metrics", kind, "one that gives a dict")
    return found, plain

  def reset(self):
    """Starts the last values again from zero."""
    for metric in self._returned:
      metric.reset_state()

  def results(self):
    """{name: value} of the metrics now."""
    if self._names is None:
      return self._model.get_metrics_result()
    found = {metric.name: metric.result() for metric in self._returned}
    if set(found) != set(self._names):  # else Keras may not have built its own
      found = {**self._model.get_metrics_result(), **found}
    return {name: found[name] for name in self._names}


def expand(results):
  """{name: float64 scalar tensor} of a model's metric results.

  A metric with one value a class becomes name_0, name_1, ...

  Args:
    results: what `ModelMetrics.results` gives.

  Returns:
    A dict, "loss" first where it is there.
  """
  found = {}
  for name, value in results.items():
    value = tf.cast(value, tf.float64)
    if value.shape.rank == 0:
      found[name] = value
    else:
      flat = tf.unstack(tf.reshape(value, [-1]))
      found.update({f"{name}_{i}": one for i, one in enumerate(flat)})
  return found
