"""One update and one evaluation as XLA would run them: traced, never run."""

import tensorflow as tf

from trainloop.data import structures
from trainloop.devices import strategies

# Assertions stand alone, or in the else branch of a condition.
_ASSERTING = ("Assert", "If", "StatelessIf")


class Probe:
  """A traced function: its ops, and what XLA says to it.

  Args:
    strategy: the `tf.distribute.Strategy` in whose scope it is traced.
    body: the function, of tensors, in cross-replica context.
    specs: their `tf.TensorSpec`s, of known shapes.

  Attributes:
    ops: names of its ops, a set.
  """

  def __init__(self, strategy, body, specs=()):
    self._function = tf.function(body, autograph=False, jit_compile=True)
    self._strategy, self._specs = strategy, specs
    with strategy.scope():
      traced = self._function.get_concrete_function(*specs)
    self.ops = _ops(traced.graph.as_graph_def())

  def lower(self):
    """What XLA refuses in it, in a line; "" if nothing."""
    try:
      with self._strategy.scope():
        lowered = self._function.experimental_get_compiler_ir(*self._specs)
      lowered("hlo")
    except (tf.errors.OpError, ValueError, TypeError) as error:
      return str(error).strip().splitlines()[0][:80]
    return ""


def of_update(strategy, replica, source):
  """The `Probe` of a batch's forward and backward pass and of its evaluation,
  with all that `replica` does in them: loss, metrics, their results.

  Args:
    strategy: the `tf.distribute.Strategy`.
    replica: the model's `Replica`.
    source: a data source whose batches have one size.
  """
  example, size = source.example, source.batch_size

  def body(*flat):
    batch = structures.pack(example, flat)
    count = strategies.counted(tf.constant(size), replicas=1)
    gradients, loss, norm, outputs, _ = strategy.run(
      replica.gradients, args=(batch, count)
    )
    strategy.run(replica.count, args=(batch, count, outputs))
    evaluated, _ = strategy.run(replica.evaluate, args=(batch, count))
    results = replica.objective.results()
    strategy.run(replica.objective.reset)
    return gradients, loss, norm, evaluated, results

  specs = [
    tf.TensorSpec([size, *leaf.shape[1:]], leaf.dtype)
    for leaf in structures.leaves(example)
  ]
  return Probe(strategy, body, specs)


def of_optimizer(strategy, binding, variables):
  """The `Probe` of an optimizer's update, constraints included.

  Args:
    strategy: the `tf.distribute.Strategy`.
    binding: the optimizer's `Binding`, built.
    variables: the model's trainable variables.
  """

  def body():
    zeros = [tf.zeros_like(v.value) for v in variables]
    rate = tf.constant(0.0)
    binding.apply(strategy, zeros, variables, rate, momentum=None)

  return Probe(strategy, body)


def _ops(graph):
  """Names of the ops in a graph and in its functions, a set; without
  assertions on constants, which no data can break."""
  functions = {
    one.signature.name: one.node_def for one in graph.library.function
  }
  blocks, settled = [(None, graph.node), *functions.items()], set()
  for _, nodes in blocks:
    by_name = {node.name: node for node in nodes}
    for node in nodes:
      if node.op in _ASSERTING and _constant(node.input[0], by_name):
        settled |= {node.name, node.attr["else_branch"].func.name}
  return {
    node.op
    for block, nodes in blocks
    for node in nodes
    if node.op != "Assert" or not {block, node.name} & settled
  }


def _constant(tensor, by_name):
  """Whether a tensor comes from constants alone, of the nodes of a function."""
  waiting, seen = [tensor], set()
  while waiting:
    node = by_name.get(waiting.pop().split(":")[0])  # None: an argument
    if node is None or not (node.input or node.op == "Const"):
      return False
    if node.name not in seen:
      seen.add(node.name)
      waiting += [one for one in node.input if not one.startswith("^")]
  return True
