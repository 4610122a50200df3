"""Arrays in their own order, batch by batch: how evaluation reads them."""

import numpy as np
import tensorflow as tf

from trainloop.data import staging, structures
from trainloop.data.dataset import DatasetData
from trainloop.data.protocol import Resident, Staged


def resident(tensors, examples, batch_size):
  """The parts of a pass over arrays on the device: whole batches, the rest.

  Args:
    tensors: (x, y, sample_weight) of all examples, on the device.
    examples: how many there are.
    batch_size: examples of a batch.
  """
  whole = examples // batch_size * batch_size
  indices = np.arange(examples, dtype=np.int32)
  blocks = [indices[:whole].reshape(-1, batch_size), indices[None, whole:]]
  return [Resident(tensors, one) for one in blocks if one.size]


def staged(arrays, examples, batch_size, room):
  """The parts of a pass in stretches of one size, as XLA wants them.

  Args:
    arrays: (x, y, sample_weight).
    examples, batch_size: see `resident`.
    room: batches of a stretch.
  """
  whole = examples // batch_size
  parts, indices = [], np.arange(examples)
  for first in range(0, whole, room):
    stop = min(first + room, whole)
    block = indices[first * batch_size : stop * batch_size]
    parts.append((block.reshape(-1, batch_size), room))
  rest = indices[None, whole * batch_size :]
  parts += [(rest, 1)] if rest.size else []
  return [
    Staged(
      staging.stretch(arrays, block, steps),
      np.arange(len(block), dtype=np.int32),
    )
    for block, steps in parts
  ]


def streamed(arrays, examples, batch_size):
  """The batches of a pass as a `DatasetData` that cuts them as they are read.

  Args, as in `staged`.
  """

  def batches():
    for first in range(0, examples, batch_size):
      yield cut(slice(first, first + batch_size))

  def cut(part):
    return structures.map_leaves(lambda array: array[part], columns)

  columns = arrays[: 2 if arrays[2] is None else 3]
  spec = structures.map_leaves(
    lambda a: tf.TensorSpec((None, *a.shape[1:]), a.dtype), columns
  )
  dataset = tf.data.Dataset.from_generator(batches, output_signature=spec)
  steps = -(-examples // batch_size)
  counted = tf.data.experimental.assert_cardinality(steps)
  return DatasetData(dataset.apply(counted))
