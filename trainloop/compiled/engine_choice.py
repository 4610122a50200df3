"""Which engine compiles the updates: whole-window XLA, or TensorFlow's graph.

`auto` is a rule, not a race: XLA and graph differ in the last bits, and the
same command must not give other bytes because a machine was busy. The rule
reads the device, the strategy, the data and the ops of the model's first call;
the measurements behind it stand in scripts/benchmarks/README.md. What XLA can't
run at all it says as it compiles the window, before the first update.
"""

import dataclasses

from kernels import checks
from trainloop.data import structures
from trainloop.devices import strategies

CHOICES = ("auto", "measure", "xla", "graph")
# Ops that XLA runs several times slower than TensorFlow's kernels on a CPU.
_SLOW_ON_CPU = (
  "Conv2D",
  "Conv2DBackpropInput",  # a transposed one, where it stands forward
  "Conv3D",
  "Conv3DBackpropInputV2",
  "DepthwiseConv2dNative",
)


@dataclasses.dataclass(frozen=True)
class Engine:
  """The engine of a run, and why.

  Attributes:
    name: "xla" or "graph".
    reason: a few words for the log.
    forced: whether XLA could not run it.
  """

  name: str
  reason: str
  forced: bool = False


def choose(compile, strategy, source, ops):
  """The engine for a model on some data.

  XLA may still refuse the window, see `without_xla`.

  Args:
    compile: one of `CHOICES`; for "measure" it is the rule that chooses, until
      something is measured.
    strategy: the `tf.distribute.Strategy`.
    source: the data source of training.
    ops: names of the ops of the model's first call, a set.

  Returns:
    An `Engine`.

  Raises:
    ValueError: if "xla" is asked for where it can't run.
  """
  if compile == "graph":
    return Engine("graph", "asked for")
  why = obstacle(strategy, source)
  if why:
    return without_xla(compile, why)
  if compile == "xla":
    return Engine("xla", "asked for")
  if not strategies.on_gpu(strategy):
    for op in sorted(ops.intersection(_SLOW_ON_CPU)):
      return Engine("graph", f"because XLA is slow at {op} on a CPU")
  return Engine("xla", "because XLA is fast at all its ops")


def obstacle(strategy, source):
  """Why XLA can't compile whole windows here; "" if it can."""
  if strategy.num_replicas_in_sync > 1:
    return "with several replicas"
  if any(map(structures.is_composite, structures.leaves(source.example))):
    return "as the dataset has ragged or sparse tensors"
  if any(map(structures.is_text, structures.leaves(source.example))):
    return "as the data has text"
  if not source.fixed_batches:
    return "as the dataset's batches may differ in size (see drop_remainder)"
  return ""


def without_xla(compile, why):
  """The graph engine, as XLA can't run something.

  Args:
    compile: one of `CHOICES`.
    why: a few words.

  Raises:
    ValueError: if XLA was asked for.
  """
  if compile == "xla":
    checks.fail("compile", compile, f"'graph' or 'auto' {why}")
  return Engine("graph", why, forced=True)
