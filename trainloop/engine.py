"""Which engine compiles the updates: whole-window XLA, or TensorFlow's graph.

`auto` is a rule, not a race: XLA and graph differ in the last bits, and the
same command must not give other bytes because a machine was busy. The rule
reads the device, the strategy, the data and the ops of the traced update; the
measurements behind it stand in WORKSPACE.md.
"""

import dataclasses

import tensorflow as tf

from kernels import checks
from trainloop import structures

CHOICES = ("auto", "measure", "xla", "graph")
# Ops that XLA runs several times slower than TensorFlow's kernels on a CPU.
_SLOW_ON_CPU = (
  "Conv2D",
  "Conv3D",
  "DepthwiseConv2dNative",
  "Conv2DBackpropFilter",
  "Conv3DBackpropFilterV2",
)
# Ops that XLA cannot compile, or only for shapes that never change.
_NOT_IN_XLA = (
  "RandomShuffle",
  "Unique",
  "UniqueV2",
  "Where",
  "PyFunc",
  "EagerPyFunc",
  "StringToHashBucketFast",
  "LookupTableFindV2",
)


@dataclasses.dataclass(frozen=True)
class Engine:
  """The engine of a run, and why.

  Attributes:
    name: "xla" or "graph".
    reason: a few words for the log.
  """

  name: str
  reason: str


def choose(compile, strategy, source, step):
  """The engine for a model on some data.

  Args:
    compile: one of `CHOICES`; for "measure" it is the rule that chooses, until
      something is measured.
    strategy: the `tf.distribute.Strategy`.
    source: the data source of training.
    step: the model's `Step`.

  Returns:
    An `Engine`.

  Raises:
    ValueError: if "xla" is asked for where it can't run.
  """
  obstacle = _obstacle(strategy, source)
  if compile == "xla":
    if obstacle:
      checks.fail("compile", compile, f"'graph' or 'auto' {obstacle}")
    return Engine("xla", "asked for")
  if compile == "graph":
    return Engine("graph", "asked for")
  if obstacle:
    return Engine("graph", obstacle)
  ops = ops_of(step, source)
  if not tf.config.list_logical_devices("GPU"):
    for op in sorted(ops.intersection(_SLOW_ON_CPU)):
      return Engine("graph", f"because XLA is slow at {op} on a CPU")
  found = refusal(strategy, step, source)
  if found:
    return Engine("graph", found)
  return Engine("xla", "because XLA is fast at all its ops")


def refusal(strategy, step, source):
  """Why XLA can't run a model on some data; "" if it can."""
  obstacle = _obstacle(strategy, source)
  if obstacle:
    return obstacle
  for op in sorted(ops_of(step, source).intersection(_NOT_IN_XLA)):
    return f"because XLA has no {op}"
  text = _refusal(step, source)
  return f"because XLA refuses it ({text})" if text else ""


def _obstacle(strategy, source):
  """Why XLA can't compile whole windows here; "" if it can."""
  if strategy.num_replicas_in_sync > 1:
    return "with several replicas"
  if not source.fixed_batches:
    return "as the dataset's batches may differ in size (see drop_remainder)"
  return ""


def ops_of(step, source):
  """Names of the ops in one traced forward and backward pass, a set."""
  traced = _pass(step, source).get_concrete_function(*_specs(source, None))
  graph = traced.graph.as_graph_def()
  nodes = [*graph.node]
  for function in graph.library.function:
    nodes.extend(function.node_def)
  return {node.op for node in nodes}


def _refusal(step, source):
  """What XLA says to the pass, when it is lowered but not run; "" if well."""
  specs = _specs(source, source.batch_size)
  try:
    lowered = _pass(step, source, jit_compile=True)
    lowered.experimental_get_compiler_ir(*specs)("hlo")
  except (tf.errors.OpError, ValueError, TypeError) as error:
    return str(error).strip().splitlines()[0][:80]
  return ""


def _pass(step, source, **options):
  """A compiled forward and backward pass over the leaves of a batch."""
  example = source.example

  def run(*flat):
    batch = structures.pack(example, flat)
    return step.gradients(batch, tf.constant(1))[:3]

  return tf.function(run, autograph=False, **options)


def _specs(source, size):
  """Specs of a batch's leaves, `size` examples each; None leaves it."""
  return [
    tf.TensorSpec([size, *leaf.shape[1:]], leaf.dtype)
    for leaf in structures.leaves(source.example)
  ]
