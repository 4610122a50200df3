"""Batches as nested structures: (x, y, sample_weight), each may be nested."""

import numbers
import zlib

import numpy as np
import tensorflow as tf

from kernels import checks

_LARGEST = 1 << 30  # bytes of a sparse matrix made dense


def leaves(batch):
  """The arrays or tensors in (x, y, sample_weight), without the Nones."""
  return [leaf for leaf in tf.nest.flatten(batch) if leaf is not None]


def map_leaves(function, batch):
  """`batch` with `function` applied to its arrays; a None stays."""
  return tf.nest.map_structure(
    lambda leaf: None if leaf is None else function(leaf), batch
  )


def is_composite(leaf):
  """Whether it is a ragged or a sparse tensor."""
  return isinstance(leaf, (tf.RaggedTensor, tf.SparseTensor))


def is_text(leaf):
  """Whether it is an array or a tensor of text."""
  return tf.as_dtype(leaf.dtype) == tf.string


def tensors(batch):
  """`batch` as tensors; ragged and sparse ones stay what they are."""
  return map_leaves(
    lambda leaf: leaf if tf.is_tensor(leaf) else tf.convert_to_tensor(leaf),
    batch,
  )


def triple(element):
  """(x, y, sample_weight) of an element of a dataset; None what it lacks."""
  return (*element, None, None)[:3]


def is_scipy(value):
  """Whether it is a sparse array or matrix of SciPy."""
  return hasattr(value, "tocoo") and hasattr(value, "toarray")


def examples(batch):
  """int32 scalar tensor: examples in a batch, by its first leaf."""
  leaf = leaves(batch)[0]
  if isinstance(leaf, tf.RaggedTensor):
    return tf.cast(leaf.nrows(), tf.int32)
  if isinstance(leaf, tf.SparseTensor):
    return tf.cast(leaf.dense_shape[0], tf.int32)
  return tf.shape(leaf)[0]


def empty(spec):
  """The tensor without examples of a `tf.TypeSpec`; sizes not known are 0."""
  if isinstance(spec, tf.RaggedTensorSpec):
    splits = [tf.zeros([1], spec.row_splits_dtype)] * spec.ragged_rank
    inner = [size or 0 for size in spec.shape[spec.ragged_rank + 1 :]]
    values = tf.zeros([0, *inner], spec.dtype)
    return tf.RaggedTensor.from_nested_row_splits(values, splits)
  sizes = [0, *(size or 0 for size in spec.shape[1:])]
  if isinstance(spec, tf.SparseTensorSpec):
    places = tf.zeros([0, len(sizes)], tf.int64)
    return tf.SparseTensor(places, tf.zeros([0], spec.dtype), sizes)
  return tf.zeros(sizes, spec.dtype)


def part(batch, start, stop):
  """The examples start .. stop - 1 of a batch; int32 scalars or ints."""
  return map_leaves(lambda leaf: _part(leaf, start, stop), batch)


def _part(leaf, start, stop):
  if not isinstance(leaf, tf.SparseTensor):
    return leaf[start:stop]
  length = tf.cast(stop - start, tf.int64)
  begin = [tf.cast(start, tf.int64), *[0] * (leaf.shape.rank - 1)]
  # Sizes that are known stay known: layers ask for the number of features.
  pairs = zip(leaf.shape[1:], tf.unstack(leaf.dense_shape)[1:], strict=True)
  sizes = [length, *(b if a is None else a for a, b in pairs)]
  cut = tf.sparse.slice(leaf, tf.stack(begin), tf.stack(sizes))
  return tf.SparseTensor(cut.indices, cut.values, tf.stack(sizes))


def pack(batch, flat):
  """`batch` with its arrays replaced, in order, by those of `flat`."""
  rest = iter(flat)
  return map_leaves(lambda _: next(rest), batch)


def arrays(name, value):
  """Checked NumPy arrays of a dict, a list or tuple of arrays, or one array.

  Args:
    name: what it is called, for errors.
    value: the structure, or None.

  Returns:
    The same structure of arrays, float64 as float32; None for None.

  Raises:
    ValueError: if an array holds no finite numbers or has no examples' axis.
  """
  if value is None:
    return None
  if isinstance(value, dict):
    return {key: _array(f"{name}[{key!r}]", one) for key, one in value.items()}
  several = isinstance(value, (list, tuple)) and len(value) > 0
  if several and all(hasattr(one, "shape") and np.ndim(one) for one in value):
    return tuple(_array(f"{name}[{i}]", one) for i, one in enumerate(value))
  return _array(name, value)


def _array(name, value):
  _check_masks(name, value)
  if is_scipy(value):
    value = _dense(name, value)
  try:
    array = np.asarray(value)
  except ValueError:  # rows of different lengths
    checks.fail(name, type(value).__name__, "an array of numbers")
  if name.startswith("x") and _is_text(value, array):
    return np.char.encode(array.astype(str), "utf-8")
  if array.dtype.kind == "O":
    _check_columns(name, value)
    array = _of_objects(name, array)
  if array.dtype.kind not in "fiub":
    checks.fail(name, array.dtype, _numbers(name, array.dtype.kind in "US"))
  if array.ndim == 0:
    checks.fail(name, array.shape, "of shape (examples, ...)")
  if array.dtype.kind == "f":
    with np.errstate(over="ignore"):
      single = array.astype(np.float32, copy=False)
    if not np.isfinite(single).all():
      where = tuple(int(i) for i in np.argwhere(~np.isfinite(single))[0])
      rule = f"finite in float32 (first bad value at index {where})"
      checks.fail(name, float(array[where]), rule)
    array = single
  return array


def _dense(name, matrix):
  """A scipy.sparse matrix as an array, whole: so it stands on the device as
  others do, and no batch waits for the host."""
  size = matrix.shape[0] * matrix.shape[1] * 4
  if size > _LARGEST:
    rule = "at most 1 GiB as a dense array; of a larger one give batches, by a "
    rule += "PyDataset whose item i is (x[32 * i : 32 * i + 32], y[...])"
    checks.fail(name, f"{size / 2**30:.1f} GiB", rule)
  return matrix.toarray()


def _is_text(value, array):
  """Whether an array holds text alone; a table is one of columns."""
  if array.dtype.kind != "O" or hasattr(value, "columns"):
    return array.dtype.kind == "U"
  return array.size > 0 and all(isinstance(one, str) for one in array.flat)


def _check_columns(name, value):
  """Refuses columns of a pandas.DataFrame that hold no numbers."""
  for column in getattr(value, "columns", ()):
    array = np.asarray(value[column])
    bad = array.dtype.kind not in "fiubO"
    if bad or any(isinstance(one, str) for one in array.flat):
      rule = f"of numbers, also column {column!r}; pandas.get_dummies({name}) "
      rule += (
        f"makes some of text, {name}.drop(columns=[{column!r}]) leaves it "
      )
      checks.fail(name, value[column].dtype, f"{rule}out")


def _numbers(name, text):
  """The rule for arrays; for text the line that makes labels of it."""
  if not text or name.startswith("x"):
    return "an array of numbers"
  line = f"numpy.unique({name}, return_inverse=True)[1]"
  return f"an array of numbers; of text {line} makes labels"


def _check_masks(name, value):
  """Refuses masked values: NumPy's other arrays would not know of them."""
  parts = value if isinstance(value, (list, tuple)) else [value]
  for part in parts:
    if isinstance(part, np.ma.MaskedArray) and np.ma.is_masked(part):
      count = int(np.ma.count_masked(part))
      rule = "without a mask, which would be dropped: leave the values out"
      checks.fail(name, f"{count} masked values", f"{rule}, or fill them")


def _of_objects(name, array):
  """Numbers and truth values that stand as Python objects, as pandas gives
  them where columns differ in kind; others are refused."""
  kinds = {type(one) for one in array.flat}
  whole = (numbers.Integral, np.bool_)
  if all(issubclass(kind, (numbers.Real, np.bool_)) for kind in kinds):
    exact = kinds and all(issubclass(kind, whole) for kind in kinds)
    try:
      return array.astype(np.int64 if exact else np.float64)
    except OverflowError:
      checks.fail(name, "an integer beyond 64 bits", "an array of numbers")
  for index, one in np.ndenumerate(array):
    if not isinstance(one, (numbers.Real, np.bool_)):
      kind = type(one).__name__
      rule = _numbers(name, isinstance(one, str))
      checks.fail(name, one, f"{rule} (first {kind} at index {index})")
  return array


def checksum(batch):
  """CRC-32 of the values in a batch of tensors, of any dtype."""
  crc32 = 0
  for leaf in tf.nest.flatten(batch, expand_composites=True):
    if leaf is not None:
      crc32 = zlib.crc32(tf.io.serialize_tensor(leaf).numpy(), crc32)
  return crc32
