"""Where batches come from: arrays in memory, or a tf.data.Dataset.

The one way in for both; the loop asks nothing about the kind.
"""

import tensorflow as tf

from kernels import checks
from trainloop.array_data import ArrayData
from trainloop.dataset_data import DatasetData


def adapt(name, data, steps_per_epoch=None):
  """`ArrayData` or `DatasetData` for what a user passed.

  Args:
    name: argument name, for the error.
    data: an `ArrayData`, `DatasetData` or batched `tf.data.Dataset`.
    steps_per_epoch: for a dataset; see `DatasetData`.

  Returns:
    The data source.

  Raises:
    ValueError: if it is anything else, or empty.
  """
  if isinstance(data, tf.data.Dataset):
    return DatasetData(data, steps_per_epoch, name)
  if not isinstance(data, (ArrayData, DatasetData)):
    kind = type(data).__name__
    checks.fail(name, kind, "an ArrayData or a batched tf.data.Dataset")
  if steps_per_epoch is not None:
    checks.fail("steps_per_epoch", steps_per_epoch, "None with ArrayData")
  return data
