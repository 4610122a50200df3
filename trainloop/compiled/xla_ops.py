"""What XLA can't run, read from a traced function before it is compiled."""

# Ops that XLA cannot compile, or only for shapes that never change; what else
# it can't, it says itself when it compiles.
_NOT_IN_XLA = (
  "AsString",
  "EagerPyFunc",
  "LookupTableFindV2",
  "PrintV2",
  "PyFunc",
  "PyFuncStateless",
  "RandomShuffle",
  "StringFormat",
  "StringToHashBucketFast",
  "Unique",
  "UniqueV2",
  "Where",
)
_ASSERT = "Assert"  # XLA leaves it out, without a word
# Assertions stand alone, or in the else branch of a condition.
_ASSERTING = (_ASSERT, "If", "StatelessIf")


def obstacle(graph):
  """Why XLA can't run a traced function; "" if nothing in it says so.

  Args:
    graph: its `tf.Graph`.
  """
  ops = _ops(graph.as_graph_def())
  if _ASSERT in ops:
    return f"because XLA leaves assertions out ({_ASSERT})"
  for op in sorted(ops.intersection(_NOT_IN_XLA)):
    return f"because XLA has no {op}"
  return ""


def refusal(error):
  """What XLA said as it refused to compile, in a few words.

  Args:
    error: what was raised.
  """
  text = str(error).strip().splitlines()[0][:80]
  return f"because XLA refuses it ({text})"


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
