"""Where batches come from: arrays in memory, a tf.data.Dataset, files.

The one way in for all; the loop asks nothing about the kind.
"""

import tensorflow as tf

from kernels import checks
from trainloop.data import feeds
from trainloop.data.arrays import ArrayData
from trainloop.data.dataset import DatasetData
from trainloop.data.sharded import ShardedData


def adapt(name, data, steps_per_epoch=None):
  """`ArrayData` or `DatasetData` for what a user passed.

  Args:
    name: argument name, for the error.
    data: one of the classes here, a batched `tf.data.Dataset`, or a Python
      object that gives batches; see `feeds`.
    steps_per_epoch: for a dataset; see `DatasetData`.

  Returns:
    The data source.

  Raises:
    ValueError: if it is anything else, or empty.
  """
  if isinstance(data, tf.data.Dataset):
    return DatasetData(data, steps_per_epoch, name)
  if not isinstance(data, (ArrayData, DatasetData, ShardedData)):
    feed = feeds.of(name, data, steps_per_epoch is not None)
    if feed is not None:
      return DatasetData(feed.dataset(data), steps_per_epoch, name, feed)
    _refuse(name, data)
  if steps_per_epoch is not None:
    checks.fail(
      "steps_per_epoch", steps_per_epoch, f"None with {type(data).__name__}"
    )
  return data


def _refuse(name, data):
  rule = "an ArrayData, a batched tf.data.Dataset, a PyDataset or an iterable "
  rule += "of batches"
  if hasattr(data, "shape") or isinstance(data, (list, tuple, dict)):
    rule += "; of arrays write trainloop.ArrayData(x, y, batch_size=32)"
  checks.fail(name, type(data).__name__, rule)
