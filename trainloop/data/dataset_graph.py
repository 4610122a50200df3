"""How a tf.data.Dataset is made, as TensorFlow writes it down."""

import sys

import tensorflow as tf

# What TensorFlow raises for a dataset or iterator that it can't write down.
UNSUPPORTED = (tf.errors.OpError, ValueError, NotImplementedError)


def of(dataset):
  """The GraphDef of a dataset; None where TensorFlow can't say it."""
  try:
    with tf.device("CPU"):
      made = tf.raw_ops.DatasetToGraphV2(
        input_dataset=tf.data.experimental.to_variant(dataset),
        external_state_policy=1,  # of shuffles and random ops: passed over
        strip_device_assignment=True,
      )
  except UNSUPPORTED:
    return None
  return tf.compat.v1.GraphDef.FromString(made.numpy())


def bodies(graph):
  """The nodes of a graph, and those of each of its functions; a list."""
  return [graph.node, *(f.node_def for f in graph.library.function)]


def is_python(graph):
  """Whether Python makes some of the elements."""
  return any("PyFunc" in node.op for part in bodies(graph) for node in part)


def checksum(dataset):
  """32 bits of how a dataset is made, arrays and constants included.

  The same in another process; two caches in memory differ. 0 where TensorFlow
  can't say it, as with a generator or a Python function.
  """
  graph = of(dataset)
  # The fingerprint of a Python function changes from call to call.
  if graph is None or is_python(graph):
    return 0
  with tf.device("CPU"):
    variant = tf.data.experimental.to_variant(dataset)
    try:
      fingerprint = tf.raw_ops.DatasetFingerprint(input_dataset=variant)
    except UNSUPPORTED:
      return 0
  return int(fingerprint.numpy()) % 2**32


def draws(dataset):
  """Ops that draw the seeds of a pass, as a shuffle does, int.

  0 where one of them has no seed of its own: no later pass is the same then.
  `sys.maxsize` where such an op is in a function of the dataset, or where
  TensorFlow can't write the dataset's graph down.
  """
  graph = of(dataset)
  if graph is None:
    return sys.maxsize
  own, *functions = bodies(graph)
  if any(_has_no_seed(nodes) for nodes in (own, *functions)):
    return 0
  if any(_draws(node) for nodes in functions for node in nodes):
    return sys.maxsize
  return sum(map(_draws, own))


def _draws(node):
  return "Shuffle" in node.op or node.op.startswith("RandomDataset")


def _has_no_seed(nodes):
  """Whether an op has the seeds (0, 0), TensorFlow's word for none."""
  by_name = {node.name: node for node in nodes}
  for node in filter(_draws, nodes):
    first = 2 if "Shuffle" in node.op else 0
    seeds = [scalar(by_name, name) for name in node.input[first : first + 2]]
    if seeds == [0, 0]:
      return True
  return False


def scalar(by_name, name):
  """The value of an input that is an integer constant; else None.

  Args:
    by_name: {name: node} of the graph or function.
    name: of the input.
  """
  node = by_name.get(name.partition(":")[0])
  if node is None or node.op != "Const":
    return None
  return int(tf.make_ndarray(node.attr["value"].tensor))
