"""What tells one tf.data.Dataset from another, whatever order it is in.

TensorFlow writes down how a dataset is made. From that a copy is made without
its shuffles, and the copy's first batches are read: the dataset itself, and
the seeds that its shuffles move, are left alone. What differs in two copies
is random, and is not compared. A Python function or generator has a state that
each read may move: there only what is read anyway is looked at, the first
batch when it was counted and when the model was built.
"""

import os
import zlib

import tensorflow as tf

from trainloop.base import seeds
from trainloop.base.code_identity import UNKNOWN
from trainloop.data import dataset_graph, structures

BATCHES = 4
_LARGEST = 1 << 28  # bytes of which a copy is made; all is in constants then
_SHUFFLES = ("ShuffleDataset", "ShuffleDatasetV2", "ShuffleDatasetV3")


def of(source, describe, path):
  """A source of data, as JSON types.

  Args:
    source: a data source.
    describe: a `Description`, which learns what is not compared.
    path: "data" or "validation".

  Returns:
    {"spec", "constants", "shuffles", "first_batches"}: what its elements are,
    a checksum of the arrays that it holds, [buffer size and seeds] of each
    shuffle, and a checksum of its first batches before any shuffle; of one
    that Python makes, of its first batch. None where its `identity` says all.
  """
  with seeds.preserved():
    described = source.described()
    if described is None:
      return None
    dataset, counted = described
    facts = {"spec": _spec(dataset.element_spec)}
    graph = dataset_graph.of(dataset)
    if graph is None:
      describe.left_out.append(f"{path} (TensorFlow can't say how it is made)")
      return facts
    nodes = dataset_graph.bodies(graph)
    facts["constants"] = _constants(nodes)
    facts["shuffles"] = sorted(s for part in nodes for s in _shuffles(part))
    if dataset_graph.is_python(graph):
      first, why = _first_counted(source, counted), "which Python makes"
    elif graph.ByteSize() < _LARGEST:
      first, why = _first(graph, dataset.element_spec), "which are random"
    else:
      first, why = None, "beside its arrays"
    if first is None:
      describe.left_out.append(f"{path}'s batches, {why}")
    facts["first_batches"] = first or UNKNOWN
  return facts


def _spec(spec):
  """Structure, shapes and dtypes of elements, as a text."""
  return " ".join(repr(spec).split())


def _constants(nodes):
  """CRC-32 of the arrays in a dataset, in whatever order they stand; one that
  holds none may be the same data as one that does.

  Numbers are left out (of functions the batches tell, of the rest only time
  depends on them), and names of files.
  """
  total, count = 0, 0
  for node in (node for part in nodes for node in part):
    if node.op == "Const":
      tensor = node.attr["value"].tensor
      if tensor.tensor_shape.dim and not _is_path(tensor):
        one = zlib.crc32(tensor.SerializeToString(deterministic=True))
        total, count = (total + one) % 2**32, count + 1
  return f"crc32 {total:08x}" if count else UNKNOWN


def _is_path(tensor):
  texts = tensor.string_val[:1]
  return any(os.sep.encode() in t and os.path.exists(t) for t in texts)


def _shuffles(nodes):
  """[buffer size, seed, seed] of each shuffle; None where none was given."""
  by_name = {node.name: node for node in nodes}
  for node in nodes:
    if node.op in _SHUFFLES:
      numbers = [
        dataset_graph.scalar(by_name, name) for name in node.input[1:4]
      ]
      yield [-1 if number is None else number for number in numbers]


def _first_counted(source, counted):
  """Checksum of a first batch that was the same in both reads; else None."""
  same = counted is not None and counted == structures.checksum(source.example)
  return f"crc32 {counted:08x}" if same else None


def _first(graph, spec):
  """Checksum of the first batches of a dataset's copy without shuffles; None
  if a second copy has others."""
  for nodes in dataset_graph.bodies(graph):
    _pass_over(nodes)
  made = graph.SerializeToString()
  checksums = {_read(made, spec) for _ in range(2)}
  return f"crc32 {checksums.pop():08x}" if len(checksums) == 1 else None


def _pass_over(nodes):
  """Bypasses shuffles: connects the readers of each to its input."""
  inputs = {n.name: n.input[0] for n in nodes if n.op in _SHUFFLES}
  for node in nodes:
    for i, name in enumerate(node.input):
      while name.partition(":")[0] in inputs:
        name = inputs[name.partition(":")[0]]
      node.input[i] = name


def _read(made, spec):
  crc32 = 0
  with tf.device("CPU"):
    variant = tf.raw_ops.DatasetFromGraph(graph_def=made)
    copy = tf.data.experimental.from_variant(variant, spec)
    for batch in copy.take(BATCHES):
      crc32 = zlib.crc32(str(structures.checksum(batch)).encode(), crc32)
  return crc32
