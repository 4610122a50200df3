"""What TensorFlow can say of a tf.data.Dataset: what it is, where it is read.

An iterator's position as bytes, and a checksum of how a dataset is made.
"""

import os
import struct
import sys
import tempfile
from typing import NamedTuple

import tensorflow as tf

from kernels import checks

_NAMES = ("it.index", "it.data-00000-of-00001")
_HEAD = struct.Struct("<qqq")
# TensorFlow writes it for each iterator whose op draws the seeds of a pass; its
# own name, so a test notices when it changes (no state is proven then).
_SEEDS = b"epoch_num_random_samples"


def pack(place, draws=0):
  """An iterator's state as bytes, and where it stands.

  It holds what shuffle buffers hold, and costs as much. How many seeds an op
  has drawn is saved with its iterator, which is dropped at a pass's end: a
  state in which one is missing shuffles the later passes otherwise.

  Args:
    place: a `Place`; its iterator is of a `tf.data.Dataset`, not of a
      distributed one.
    draws: what `draws` says of the dataset; states with fewer iterators of
      such ops are refused.

  Returns:
    bytes; b"" if TensorFlow can't save this iterator, as with a generator, a
    Python function, or an op that has state; None if this state is refused.
  """
  with tempfile.TemporaryDirectory() as folder:
    prefix = os.path.join(folder, "it")
    try:
      tf.train.Checkpoint(it=place.iterator).write(prefix)
    except (tf.errors.OpError, ValueError, NotImplementedError):
      return b""
    parts = [_read(os.path.join(folder, name)) for name in _NAMES]
  if parts[1].count(_SEEDS) < draws:
    return None
  head = _HEAD.pack(place.step, place.skipped, len(parts[0]))
  return head + parts[0] + parts[1]


class Place(NamedTuple):
  """An iterator, and where it stands."""

  iterator: tf.data.Iterator
  step: int  # that it gives the batch of next
  skipped: int  # batches that its dataset leaves out before the first


def unpack(make, content):
  """An iterator where `pack` was called.

  Args:
    make: function of a number of batches: a new iterator of the same dataset,
      which skips so many.
    content: what `pack` gave.

  Returns:
    A `Place`.

  Raises:
    ValueError: if it is another dataset.
  """
  step, skipped, size = _HEAD.unpack_from(content)
  rest, iterator = content[_HEAD.size :], make(skipped)
  with tempfile.TemporaryDirectory() as folder:
    parts = (rest[:size], rest[size:])
    for name, part in zip(_NAMES, parts, strict=True):
      with open(os.path.join(folder, name), "wb") as file:
        file.write(part)
    checkpoint = tf.train.Checkpoint(it=iterator)
    try:
      checkpoint.read(os.path.join(folder, "it")).assert_consumed()
    except (tf.errors.OpError, AssertionError):
      line = "the dataset as it was, or another workdir"
      checks.fail("data", iterator.element_spec, f"{line}: its place is lost")
  return Place(iterator, step, skipped)


def skipping(dataset, count):
  """The dataset without its first batches; itself for 0 of them: TensorFlow
  restores an iterator only where the same transformations were saved."""
  return dataset.skip(count) if count else dataset


def _graph(dataset):
  """How it is made, a GraphDef as a string tensor."""
  return tf.raw_ops.DatasetToGraphV2(
    input_dataset=tf.data.experimental.to_variant(dataset),
    external_state_policy=1,  # of shuffles and random ops: passed over
  )


def draws(dataset):
  """Ops that draw the seeds of a pass, as a shuffle does, int.

  0 where one of them has no seed of its own: no later pass is the same then.
  More than there can be where an op is in a function of the dataset, or where
  TensorFlow can't say it.
  """
  try:
    with tf.device("CPU"):
      graph = _graph(dataset)
  except (tf.errors.OpError, ValueError, NotImplementedError):
    return sys.maxsize
  graph = tf.compat.v1.GraphDef.FromString(graph.numpy())
  bodies = [graph.node, *(f.node_def for f in graph.library.function)]
  if any(_has_no_seed(nodes) for nodes in bodies):
    return 0
  if any(_draws(node) for nodes in bodies[1:] for node in nodes):
    return sys.maxsize
  return sum(map(_draws, graph.node))


def _draws(node):
  return "Shuffle" in node.op or node.op.startswith("RandomDataset")


def _has_no_seed(nodes):
  """Whether an op has the seeds (0, 0), TensorFlow's word for none."""
  ints = tf.int64.as_datatype_enum
  values = {
    node.name: tf.make_ndarray(node.attr["value"].tensor)
    for node in nodes
    if node.op == "Const" and node.attr["dtype"].type == ints
  }
  for node in filter(_draws, nodes):
    first = 2 if "Shuffle" in node.op else 0
    names = [name.split(":")[0] for name in node.input[first : first + 2]]
    if all(name in values and not values[name].any() for name in names):
      return True
  return False


def checksum(dataset):
  """32 bits of how a dataset is made, arrays and constants included.

  The same in another process; two caches in memory differ. 0 where TensorFlow
  can't say it, as with a generator or a Python function.
  """
  try:
    with tf.device("CPU"):
      variant = tf.data.experimental.to_variant(dataset)
      graph = tf.raw_ops.DatasetToGraphV2(
        input_dataset=variant,
        external_state_policy=1,  # of shuffles and random ops: passed over
        strip_device_assignment=True,
      )
      # Its fingerprint then changes from call to call.
      if b"PyFunc" in graph.numpy():
        return 0
      found = tf.raw_ops.DatasetFingerprint(input_dataset=variant)
  except (tf.errors.OpError, ValueError, NotImplementedError):
    return 0
  return int(found.numpy()) % 2**32


def _read(path):
  with open(path, "rb") as file:
    return file.read()
