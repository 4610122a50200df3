"""Strategy by name, and the arithmetic of global and per-replica batches."""

import tensorflow as tf

from kernels import checks

NAMES = ("auto", "one_device", "mirrored")


def strategy_for(name):
  """A `tf.distribute.Strategy` by name.

  Args:
    name: "one_device" (the first GPU, else the CPU), "mirrored" (all GPUs,
      else all logical CPUs), or "auto": mirrored with several GPUs.

  Returns:
    The strategy.

  Raises:
    ValueError: if the name is unknown.
  """
  checks.choice("strategy", name, NAMES)
  gpus = tf.config.list_logical_devices("GPU")
  if name == "mirrored" or (name == "auto" and len(gpus) > 1):
    devices = gpus or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([d.name for d in devices])
  if gpus:
    return tf.distribute.OneDeviceStrategy(gpus[0].name)
  return tf.distribute.get_strategy()


def share(indices, replica, replicas):
  """A replica's part of a global batch: contiguous, sizes differ by one.

  Args:
    indices: int32 vector, the examples of a global batch.
    replica: index of the replica, int or int32 scalar tensor.
    replicas: how many there are.

  Returns:
    int32 vector, possibly empty.
  """
  if replicas == 1:
    return indices
  count = tf.shape(indices)[0]
  start = replica * count // replicas
  return indices[start : (replica + 1) * count // replicas]


def first(strategy, value):
  """Replica 0's component of a value that is the same on all."""
  local = strategy.experimental_local_results
  return tf.nest.map_structure(lambda one: local(one)[0], value)
