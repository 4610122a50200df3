"""Weights of classes: the argument `class_weight`, as sample weights.

A weighed source is made once for each source and weights, so that later fits
find the same one, on the device already.
"""

import weakref

import numpy as np
import tensorflow as tf

from kernels import checks
from trainloop.data import structures
from trainloop.data.arrays import ArrayData
from trainloop.data.labels import labels_of

_FORM = "a dict {label: weight >= 0}, 'balanced' or None"
_made = weakref.WeakKeyDictionary()  # {data: {weights: weighed data}}


def applied(data, class_weight):
  """Training data whose examples count as much as their class says.

  A label without a weight counts 1, as in Keras. "balanced" gives a class with
  n_c of n examples, k classes, the weight n / (k n_c), as scikit-learn.

  Args:
    data: an `ArrayData`, or a batched `tf.data.Dataset` of (x, y).
    class_weight: {int label >= 0: float >= 0}, "balanced", or None.

  Returns:
    Data of the same kind; `data` itself for None.

  Raises:
    ValueError: if the weights or labels are something else, or examples have
      weights already.
  """
  if class_weight is None:
    return data
  _check(class_weight)
  balanced = isinstance(class_weight, str)
  key = class_weight if balanced else tuple(sorted(class_weight.items()))
  made = _made.setdefault(data, {}) if _is_known(data) else {}
  if key not in made:
    made[key] = _weighed(data, class_weight)
  return made[key]


def _is_known(data):
  return isinstance(data, (ArrayData, tf.data.Dataset))


def _weighed(data, class_weight):
  if isinstance(data, tf.data.Dataset):
    return _of_dataset(data, class_weight)
  if not isinstance(data, ArrayData):
    rule = "None with this data: give (x, y, sample_weight) there"
    checks.fail("class_weight", class_weight, f"{rule}, {type(data).__name__}")
  _, y, weight = data.arrays
  _check_whole(y, weight, class_weight)
  labels = labels_of("class_weight", y)
  if class_weight == "balanced":
    class_weight = balanced_weights(labels)
  _check_effect(class_weight, labels)
  table = _table(class_weight, int(labels.max(initial=0)))
  return data.weighted(table[labels])


def _of_dataset(dataset, class_weight):
  if class_weight == "balanced":
    rule = "a dict with a tf.data.Dataset, as {0: 0.6, 1: 3.0}"
    checks.fail("class_weight", class_weight, rule)
  spec = structures.triple(dataset.element_spec)
  _check_whole(spec[1], spec[2], class_weight)
  table = tf.constant(_table(class_weight, max(class_weight)))

  def weigh(x, y):
    labels = y
    if y.shape.rank and y.shape.rank > 1:
      wide = y.shape[-1] is None or y.shape[-1] > 1
      labels = tf.argmax(y, -1) if wide else y[..., 0]
    if labels.dtype.is_floating:
      labels = tf.round(labels)
    labels = tf.cast(labels, tf.int64)
    known = (labels >= 0) & (labels < len(table))
    weights = tf.gather(table, tf.where(known, labels, 0))
    return x, y, tf.where(known, weights, tf.ones_like(weights))

  return dataset.map(weigh)


def _check(class_weight):
  if class_weight == "balanced":
    return
  if not isinstance(class_weight, dict) or not class_weight:
    checks.fail("class_weight", class_weight, _FORM)
  for label, weight in class_weight.items():
    checks.integer("class_weight", label, 0, 2**20)
    name = f"class_weight[{label!r}]"
    checks.number(name, weight, "a number >= 0", lambda v: v >= 0)


def _check_whole(y, weight, class_weight):
  """Refuses targets of several outputs, and examples that have weights."""
  if weight is not None:
    rule = "None with sample weights: multiply them into those"
    checks.fail("class_weight", class_weight, rule)
  if y is None or not hasattr(y, "shape"):
    rule = "None without one array of labels"
    checks.fail("class_weight", class_weight, rule)


def _check_effect(class_weight, labels):
  """Refuses weights that no example has, or that leave none to count."""
  present = np.unique(labels)
  if not any(label in class_weight for label in present):
    shown = ", ".join(map(str, present[:9]))
    rule = f"weights of labels that examples have, as {shown}"
    checks.fail("class_weight", class_weight, rule)
  if not any(class_weight.get(int(label), 1) for label in present):
    rule = "above 0 for some label: no example would count"
    checks.fail("class_weight", class_weight, rule)


def balanced_weights(labels):
  """{label: n / (k n_c)} for k classes, of which c has n_c of n examples."""
  classes, counts = np.unique(labels, return_counts=True)
  weights = len(labels) / (len(classes) * counts)
  return {int(c): float(w) for c, w in zip(classes, weights, strict=True)}


def _table(class_weight, most):
  """float32 (labels,): a weight a label, 1 where none is given."""
  table = np.ones(max(most, *class_weight, 0) + 1, np.float32)
  for label, weight in class_weight.items():
    table[label] = weight
  return table
