"""What Python objects give as a batch, as tuples of arrays of one form."""

import numpy as np
import tensorflow as tf

from kernels import checks
from trainloop.data import structures

_RULE = "of batches x, (x,), (x, y) or (x, y, sample_weight)"


def of(name, given):
  """A batch as a tuple of one to three structures of arrays.

  Tensors of PyTorch and JAX become NumPy arrays, float64 becomes float32, a
  scipy.sparse matrix becomes a `tf.SparseTensor`; ragged and sparse tensors
  stay what they are.

  Args:
    name: argument that it came from, for the error.
    given: x, or a tuple or list (x[, y[, sample_weight]]).

  Raises:
    ValueError: if it is of more parts, or empty.
  """
  parts = tuple(given) if isinstance(given, (tuple, list)) else (given,)
  while parts and parts[-1] is None:
    parts = parts[:-1]
  if not 1 <= len(parts) <= 3:
    checks.fail(name, f"a batch of {len(parts)} parts", _RULE)
  if any(part is None for part in parts):
    checks.fail(name, "a batch with None before its last part", _RULE)
  parts = tuple(map(_structure, parts))
  check_counts(name, parts)
  return parts


def check_counts(name, parts):
  """Refuses a batch whose parts have not as many examples as each other.

  Args:
    name: argument that it came from, for the error.
    parts: (x[, y[, sample_weight]]), structures of arrays or tensors, or None.

  Raises:
    ValueError: with the counts.
  """
  counts = [
    int(structures.examples(leaf))
    for leaf in structures.leaves(parts)
    if len(leaf.shape) > 0
  ]
  if len(set(counts)) > 1:
    rule = "of batches with as many examples in x as in y and sample_weight"
    checks.fail(name, f"a batch of {', '.join(map(str, counts))}", rule)


def _structure(value):
  if isinstance(value, dict):
    return {key: _structure(one) for key, one in value.items()}
  several = isinstance(value, (list, tuple)) and len(value) > 0
  if several and all(isinstance(one, dict) or _is_array(one) for one in value):
    return tuple(map(_structure, value))
  return _leaf(value)


def _is_array(value):
  return len(getattr(value, "shape", ())) > 0


def _leaf(value):
  if structures.is_composite(value):
    return value
  if structures.is_scipy(value):
    return _sparse(value.tocoo())
  if hasattr(value, "detach"):  # PyTorch's, on any device
    value = value.detach().cpu().numpy()
  array = np.asarray(value)
  if array.dtype.kind in "US":
    return array.astype(object)
  return array.astype(np.float32) if array.dtype == np.float64 else array


def _sparse(coo):
  values = coo.data
  if values.dtype == np.float64:
    values = values.astype(np.float32)
  places = np.stack([coo.row, coo.col], axis=1).astype(np.int64)
  return tf.sparse.reorder(tf.SparseTensor(places, values, coo.shape))


class Form:
  """What the batches of one Python object have in common.

  Args:
    name: argument that they came from, for errors.
    samples: some batches, as `of` gives them, at least one.

  Attributes:
    signature: the structure of `tf.TypeSpec`s: the number of examples is left
      open, and so is each size in which the samples differ.
  """

  def __init__(self, name, samples):
    self._name, self._first = name, samples[0]
    self._specs = [_spec(leaf) for leaf in structures.leaves(samples[0])]
    for other in samples[1:]:
      leaves = structures.leaves(self._same_structure(other))
      pairs = zip(self._specs, map(_spec, leaves), strict=True)
      self._specs = [_common(*pair) for pair in pairs]
    self.signature = structures.pack(samples[0], self._specs)

  def fitted(self, element):
    """A batch in the form of the others; whole numbers where they have floats
    become floats.

    Raises:
      ValueError: if its keys, ranks, sizes or kinds of numbers differ.
    """
    leaves = structures.leaves(self._same_structure(element))
    pairs = zip(self._specs, leaves, strict=True)
    return structures.pack(element, [self._fitted(*pair) for pair in pairs])

  def _same_structure(self, element):
    try:
      tf.nest.assert_same_structure(element, self._first)
    except (ValueError, TypeError):
      rule = f"of batches built as the first, {_outline(self._first)}"
      checks.fail(self._name, _outline(element), rule)
    return element

  def _fitted(self, spec, leaf):
    own = _spec(leaf)
    casts = isinstance(leaf, np.ndarray) and own.dtype != spec.dtype
    if casts and np.can_cast(
      leaf.dtype, spec.dtype.as_numpy_dtype, "same_kind"
    ):
      leaf = leaf.astype(spec.dtype.as_numpy_dtype)
      own = _spec(leaf)
    if own.dtype != spec.dtype or not spec.shape.is_compatible_with(own.shape):
      rule = f"of batches {_shown(spec)} as the first ones are; pad them, or "
      rule += "give a tf.data.Dataset by dataset.padded_batch(32)"
      checks.fail(self._name, _shown(own), rule)
    return leaf


def _spec(leaf):
  if structures.is_composite(leaf):
    spec = tf.type_spec_from_value(leaf)
    shape = tf.TensorShape([None, *spec.shape[1:]])
    if isinstance(leaf, tf.SparseTensor):
      return tf.SparseTensorSpec(shape, spec.dtype)
    splits = spec.row_splits_dtype
    return tf.RaggedTensorSpec(shape, spec.dtype, spec.ragged_rank, splits)
  dtype = tf.string if leaf.dtype.kind == "O" else leaf.dtype
  return tf.TensorSpec([None, *leaf.shape[1:]] if leaf.ndim else [], dtype)


def _common(one, other):
  """A spec of both; `one` where there is none, which `fitted` tells of."""
  both = one.most_specific_common_supertype([other])
  return one if both is None else both


def _shown(spec):
  return f"{spec.dtype.name} {tuple(spec.shape)}"


def _outline(element):
  return structures.map_leaves(lambda leaf: _shown(_spec(leaf)), element)
