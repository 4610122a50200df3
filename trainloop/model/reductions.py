"""How the loss of a batch is put together from parts of it: the shares of
replicas, and micro-batches.

A mean over the examples is the sum of its parts' means, each weighted by its
share of the examples. Other losses average over something else, or not at all:

  masks (mask_zero, ignore_class)   over what is not masked
  "mean_with_sample_weight"         over the sum of the weights
  "sum"                             over nothing: parts are added up

Each counts here by what it averages over in the global batch, so that the
result does not depend on replicas or micro-batches.
"""

import concurrent.futures
import contextlib
import typing

import numpy as np
import tensorflow as tf

# Private: the one place where every Keras loss is reduced, with its mask and
# weights at hand; nothing public tells them apart. `test_reductions.py` notices
# if it moves.
from keras.src import backend as _backend
from keras.src.losses import loss as _keras_loss

from kernels import checks
from trainloop.base import stand_ins
from trainloop.data import structures

_EXAMPLES, _COUNTED, _SUM, _SCALAR = "examples", "counted", "sum", "scalar"
_PAIRS = ("circle", "Circle")
_MOST = 8  # examples that a loss is tried on
_REDUCE = stand_ins.StandIn(_keras_loss, "reduce_weighted_values")
_SHARED = "one that replicas and micro-batches can share"


class Share(typing.NamedTuple):
  """What a part is of its global batch.

  Attributes:
    weight: float32 scalar, its examples over those of an average replica.
    once: float32 scalar, 1 over how many replicas have the same examples.
    denominators: float32 vector, what each loss averages over in the global
      batch; None where none does over anything but examples.
  """

  weight: typing.Any
  once: typing.Any
  denominators: typing.Any


class Reductions:
  """The losses of a model, by what they average over.

  Args:
    kinds: of each loss, in the order in which they are computed.

  Attributes:
    counts: whether `denominators` are needed.
    losses: how many there are.
  """

  def __init__(self, kinds=()):
    self._kinds, self.losses = tuple(kinds), len(kinds)
    self.counts = _COUNTED in self._kinds

  def denominators(self, objective, batch, outputs):
    """What each loss averages over in a part, float32 vector; 1 for nothing.

    Args:
      objective: an `objective.Compiled`.
      batch: (x, y, sample_weight) of the part.
      outputs: the model's, as `objective.outputs` gave them.
    """
    denominators = []

    def count(values, sample_weight=None, mask=None, reduction="", dtype=None):
      if _kind(values, sample_weight, mask, reduction) == _COUNTED:
        denominators.append(
          _denominator(values, sample_weight, mask, reduction)
        )
      else:
        denominators.append(tf.constant(1.0))
      return tf.reduce_sum(values) * 0.0

    # What the losses count in metrics is counted once, elsewhere.
    with objective.untouched(), _reduced_by(count):
      objective.loss(batch, outputs, training=False)
    return tf.stop_gradient(tf.stack(denominators))

  @contextlib.contextmanager
  def of_part(self, share):
    """A context in which the losses of a part are computed, so that the sum
    over all parts of `share.weight` times the result is the global batch's."""
    if set(self._kinds) <= {_EXAMPLES}:
      yield
      return
    kinds = iter(enumerate(self._kinds))
    whole = _REDUCE.own

    def reduce(values, sample_weight=None, mask=None, reduction="", dtype=None):
      i, kind = next(kinds)
      if kind in (_EXAMPLES, _SCALAR):
        loss = whole(values, sample_weight, mask, reduction, dtype)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return loss / replicas if kind == _SCALAR else loss
      loss = whole(values, sample_weight, mask, "sum", dtype)
      if kind == _SUM:
        return loss * tf.cast(share.once / share.weight, loss.dtype)
      over = tf.cast(share.denominators[i] * share.weight, loss.dtype)
      return tf.math.divide_no_nan(loss, over)

    with _reduced_by(reduce):
      yield


def of(strategy, objective, batch, example):
  """The `Reductions` of a model's losses; traced on a batch, not run.

  Keras' own losses are only traced. Others are also computed on a batch and on
  its two halves, which must give the same loss.

  Args:
    strategy: the `tf.distribute.Strategy`.
    objective: an `objective.Compiled`.
    batch: (x, y, sample_weight) tensors as the model is called with.
    example: those of a whole batch.

  Raises:
    ValueError: if the loss can't be put together from parts: of pairs of
      examples, of the batch as a whole, or not divided by the replicas.
  """
  kinds = []

  def record(values, sample_weight=None, mask=None, reduction="", dtype=None):
    kinds.append(_kind(values, sample_weight, mask, reduction))
    return tf.reduce_sum(values) * 0.0

  def replica():
    kinds.clear()  # replicas are traced one after another
    with objective.untouched(), _reduced_by(record):
      outputs = objective.outputs(batch, training=False)
      objective.loss(batch, outputs, training=False)

  run = tf.function(lambda: strategy.run(replica), autograph=False)
  run.get_concrete_function()
  for one in tf.nest.flatten(objective.keras_loss):
    if _name(one) in _PAIRS:
      checks.fail("loss", _name(one), f"{_SHARED}, not of pairs of examples")
  reductions = Reductions(kinds)
  if _SCALAR in kinds or not _of_keras(objective):
    _check_halves(strategy, objective, reductions, example)
  return reductions


def _check_halves(strategy, objective, reductions, example):
  """Refuses a loss that two halves of a batch give otherwise."""
  size = min(_MOST, int(structures.examples(example)))
  if size < 2:
    return
  batch = structures.tensors(structures.part(example, 0, size))

  def in_parts():
    with objective.untouched():
      return _in_halves(objective, reductions, batch, size)

  def as_one():
    with objective.untouched():
      outputs = _outputs(objective, batch, range(size), size)
      return float(objective.loss(batch, outputs, training=False))

  halves = strategy.run(in_parts)
  halves = float(strategy.experimental_local_results(halves)[0])
  # In a thread of its own no strategy is in scope: one replica's loss.
  with concurrent.futures.ThreadPoolExecutor(1) as alone:
    whole = alone.submit(as_one).result()
  if np.isfinite(whole) and not np.isclose(halves, whole, 1e-4, 1e-6):
    rule = f"{_SHARED} (two halves of a batch give {halves:.4g}, the whole "
    rule += f"{whole:.4g}); give each example's as `step`"
    checks.fail("loss", _names(objective), rule)


def _in_halves(objective, reductions, batch, size):
  """The loss of a batch, put together from its halves; on one replica."""
  seen, over, total = [], None, 0.0
  for start, stop in ((0, size // 2), (size // 2, size)):
    part, places = structures.part(batch, start, stop), range(start, stop)
    seen.append((part, _outputs(objective, part, places, size)))
  if reductions.counts:
    over = tf.add_n([reductions.denominators(objective, *one) for one in seen])
  replicas = tf.distribute.get_strategy().num_replicas_in_sync
  for part, outputs in seen:
    weight = tf.cast(structures.examples(part) * replicas / size, tf.float32)
    with reductions.of_part(Share(weight, tf.constant(1.0), over)):
      total += weight * objective.loss(part, outputs, training=False)
  return total


def _outputs(objective, part, places, size):
  """The outputs of the examples at some places of a batch, made unlike each
  other: of a new model they are alike, and so are the losses of its halves."""
  factor = np.array([0.1 + 0.9 * i / (size - 1) for i in places])

  def scaled(output):
    if not isinstance(output, tf.Tensor) or not output.dtype.is_floating:
      return output
    shape = [-1, *[1] * (output.shape.rank - 1)]
    product = output * tf.cast(factor.reshape(shape), output.dtype)
    mask = _backend.get_keras_mask(output)
    if mask is not None:
      _backend.set_keras_mask(product, mask)
    return product

  outputs = objective.outputs(part, training=False)
  return tf.nest.map_structure(scaled, outputs)


def _of_keras(objective):
  """Whether all losses are Keras' own."""
  losses = tf.nest.flatten(
    objective.keras_loss
  )  # names and None are Keras', too
  modules = [getattr(one, "__module__", "keras") for one in losses]
  own = all(str(one).split(".")[0] == "keras" for one in modules)
  return own and not objective.own_loss


def _names(objective):
  if objective.own_loss:
    return "the model's compute_loss"
  return ", ".join(_name(one) for one in tf.nest.flatten(objective.keras_loss))


def _name(loss):
  """A loss's name, as it is known in Python."""
  if isinstance(loss, str):
    return loss
  return getattr(loss, "__name__", type(loss).__name__)


def check_reduced(loss, value=None):
  """Refuses a loss that is not reduced: a row has one number.

  Args:
    loss: as the user gave it: one, or one an output.
    value: what the model's `compute_loss` gave; None if it failed.

  Raises:
    ValueError: naming the reduction, where that is it.
  """
  if value is not None and value.shape.rank == 0:
    return
  for one in tf.nest.flatten(loss):
    if getattr(one, "reduction", "mean") in ("none", None):
      rule = "'sum_over_batch_size' or 'sum', one number a batch, of "
      checks.fail("loss.reduction", one.reduction, f"{rule}{_name(one)}")
  if value is not None:
    checks.fail("loss", tuple(value.shape), "one that gives a scalar a batch")


def _reduced_by(function):
  """A context in which a function reduces losses that this thread computes."""
  return _REDUCE.used(function, stand_ins.of_this_thread())


def _kind(values, sample_weight, mask, reduction):
  """What a loss averages over."""
  alone = sample_weight is None and mask is None
  if reduction == "sum":
    return _SUM
  if alone and values.shape.rank == 0:
    return _SCALAR
  by_weight = reduction == "mean_with_sample_weight" and not alone
  return _COUNTED if by_weight or mask is not None else _EXAMPLES


def _denominator(values, sample_weight, mask, reduction):
  """What a loss divides its sum by, float32 scalar, in Keras' terms."""
  if reduction == "mean_with_sample_weight":
    merged = _keras_loss.apply_mask(
      sample_weight, mask, dtype="float32", reduction=reduction
    )
    return tf.reduce_sum(tf.cast(merged, tf.float32))
  mask = tf.cast(mask, tf.float32)
  per_entry = tf.size(values) / tf.maximum(tf.size(mask), 1)
  return tf.reduce_sum(mask) * tf.cast(per_entry, tf.float32)
