"""What TensorFlow can say of a tf.data.Dataset: what it is, where it is read.

An iterator's position as bytes, and a checksum of how a dataset is made.
"""

import os
import struct
import tempfile

import tensorflow as tf

_NAMES = ("it.index", "it.data-00000-of-00001")
_HEAD = struct.Struct("<qq")


def pack(iterator, step):
  """The iterator's state, as it is after `step` batches.

  It holds what shuffle buffers hold, and costs as much.

  Args:
    iterator: of a `tf.data.Dataset`, not of a distributed one.
    step: int.

  Returns:
    bytes; b"" if TensorFlow can't save this iterator, as with a generator, a
    Python function, or an op that has state.
  """
  with tempfile.TemporaryDirectory() as folder:
    prefix = os.path.join(folder, "it")
    try:
      tf.train.Checkpoint(it=iterator).write(prefix)
    except (tf.errors.OpError, ValueError, NotImplementedError):
      return b""
    parts = [_read(os.path.join(folder, name)) for name in _NAMES]
  return _HEAD.pack(step, len(parts[0])) + parts[0] + parts[1]


def unpack(iterator, content, step):
  """Puts an iterator to where `pack` was called.

  Args:
    iterator: of the same dataset.
    content: what `pack` gave.
    step: where it should be.

  Returns:
    Whether it is there now; if not, it is as it was.
  """
  if len(content) < _HEAD.size:
    return False
  at, size = _HEAD.unpack_from(content)
  if at != step:
    return False
  rest = content[_HEAD.size :]
  with tempfile.TemporaryDirectory() as folder:
    parts = (rest[:size], rest[size:])
    for name, part in zip(_NAMES, parts, strict=True):
      with open(os.path.join(folder, name), "wb") as file:
        file.write(part)
    checkpoint = tf.train.Checkpoint(it=iterator)
    checkpoint.read(os.path.join(folder, "it")).assert_consumed()
  return True


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
