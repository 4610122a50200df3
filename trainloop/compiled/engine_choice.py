"""Which engine compiles the updates: whole-window XLA, or TensorFlow's graph.

`auto` is a rule, not a race: XLA and graph differ in the last bits, and the
same command must not give other bytes because a machine was busy. The rule
reads the device, the strategy, the data and the ops of a traced update and
evaluation; the measurements behind it stand in
scripts/benchmarks/README.md.
"""

import dataclasses

from kernels import checks
from trainloop.compiled import probe
from trainloop.data import structures
from trainloop.devices import strategies

CHOICES = ("auto", "measure", "xla", "graph")
# Ops that XLA runs several times slower than TensorFlow's kernels on a CPU.
_SLOW_ON_CPU = (
  "Conv2D",
  "Conv3D",
  "DepthwiseConv2dNative",
  "Conv2DBackpropFilter",
  "Conv3DBackpropFilterV2",
)
# Ops that XLA cannot compile, or only for shapes that never change; what else
# it can't, it says itself when an update is lowered.
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


def choose(compile, strategy, source, replica):
  """The engine for a model on some data.

  Args:
    compile: one of `CHOICES`; for "measure" it is the rule that chooses, until
      something is measured.
    strategy: the `tf.distribute.Strategy`.
    source: the data source of training.
    replica: the model's `Replica`.

  Returns:
    An `Engine`.

  Raises:
    ValueError: if "xla" is asked for where it can't run.
  """
  if compile == "graph":
    return Engine("graph", "asked for")
  why = obstacle(strategy, source)
  if why:
    return _without_xla(compile, why)
  traced = probe.of_update(strategy, replica, source)
  slow = ""
  if not strategies.on_gpu(strategy):
    for op in sorted(traced.ops.intersection(_SLOW_ON_CPU)):
      slow = f"because XLA is slow at {op} on a CPU"
  if compile == "auto" and slow:
    return Engine("graph", slow)
  why = _refusal(traced, lower=compile != "xla")
  if why:
    return _without_xla(compile, why)
  if compile == "xla":
    return Engine("xla", "asked for")
  if slow:
    return Engine("graph", slow)
  return Engine("xla", "because XLA is fast at all its ops")


def with_optimizer(compile, chosen, strategy, binding, variables):
  """The engine once the optimizer has its slots: its ops count, too.

  Keras' own optimizers and constraints compile; only others are traced.

  Args:
    compile, strategy: see `choose`.
    chosen: the `Engine` so far.
    binding: the optimizer's `Binding`, built.
    variables: the model's trainable variables.

  Returns:
    An `Engine`.

  Raises:
    ValueError: if "xla" is asked for where it can't run.
  """
  may_run = chosen.name == "xla" or (compile == "measure" and not chosen.forced)
  parts = [binding.optimizer, *(v.constraint for v in variables)]
  if not may_run or all(part is None or _of_keras(part) for part in parts):
    return chosen
  traced = probe.of_optimizer(strategy, binding, variables)
  why = _refusal(traced, lower=True)
  return _without_xla(compile, why) if why else chosen


def obstacle(strategy, source):
  """Why XLA can't compile whole windows here; "" if it can."""
  if strategy.num_replicas_in_sync > 1:
    return "with several replicas"
  if any(map(structures.is_composite, structures.leaves(source.example))):
    return "as the dataset has ragged or sparse tensors"
  if not source.fixed_batches:
    return "as the dataset's batches may differ in size (see drop_remainder)"
  return ""


def _without_xla(compile, why):
  """The graph engine, or an error if XLA was asked for."""
  if compile == "xla":
    checks.fail("compile", compile, f"'graph' or 'auto' {why}")
  return Engine("graph", why, forced=True)


def _refusal(traced, lower):
  """Why XLA can't run what was traced; "" if it can."""
  if _ASSERT in traced.ops:
    return f"because XLA leaves assertions out ({_ASSERT})"
  for op in sorted(traced.ops.intersection(_NOT_IN_XLA)):
    return f"because XLA has no {op}"
  text = traced.lower() if lower else ""
  return f"because XLA refuses it ({text})" if text else ""


def _of_keras(part):
  return type(part).__module__.split(".")[0] == "keras"
