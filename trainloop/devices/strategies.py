"""Strategies by name, and the arithmetic of global and per-replica batches."""

import contextlib
import typing

import tensorflow as tf

# Nothing public keeps TensorFlow's coordination service away from
# MultiWorkerMirroredStrategy; `test_strategies.py` notices if this moves.
from tensorflow.python.eager import context as _context

from kernels import checks
from trainloop.devices import cluster as cluster_lib
from trainloop.devices import peers

NAMES = ("auto", "one_device", "mirrored", "multi_worker", "tpu")
_REFUSED = {
  "CentralStorageStrategy": "keeps no weights on the replicas, which the loop "
  "compares and saves; take 'mirrored'",
  "ParameterServerStrategyV2": "updates without step: no global step, no "
  "schedule that all workers share; take 'multi_worker'",
}


def strategy_for(
  name, cluster=None, peer_timeout=120.0, cluster_secret_file=None
):
  """A `tf.distribute.Strategy` by name; call it before TensorFlow is used.

  GPUs get memory growth, collectives between them NCCL.

  Args:
    name: "one_device" (the first GPU, else the CPU), "mirrored" (all GPUs,
      else all logical CPUs), "multi_worker" (the GPUs, else the CPU, of all
      workers), "tpu", or "auto": the TPU if there is one, multi_worker if
      there are several workers, mirrored with several GPUs, else one_device.
    cluster: the `Cluster` of the workers; None for the one that TF_CONFIG or
      Slurm describe.
    peer_timeout: seconds to wait for the other workers, and for TensorFlow to
      start on each, > 0.
    cluster_secret_file: path of a file with a secret that all workers have,
      so that no other program is taken for one of them; None for the file
      that TRAINLOOP_CLUSTER_SECRET_FILE names, if it is set. TensorFlow's own
      ports know no secret: keep them all inside a private network.

  Returns:
    The strategy.

  Raises:
    ValueError: if the name is unknown, there are no workers or no TPU, or the
      file can't be used.
    MissingPeerError: if a worker does not come in time, naming its address.
  """
  checks.choice("strategy", name, NAMES)
  checks.positive("peer_timeout", peer_timeout)
  if name in ("auto", "multi_worker") and cluster is None:
    cluster = cluster_lib.find()
  if name == "tpu" or (name == "auto" and _has_tpu()):
    return _tpu()
  _grow_memory()
  if name == "multi_worker" and cluster is None:
    rule = "described by --workers and --worker_index, TF_CONFIG or Slurm"
    checks.fail("workers", None, rule)
  several = cluster is not None and cluster.count > 1
  if name == "multi_worker" or (name == "auto" and several):
    return _multi_worker(cluster, peer_timeout, cluster_secret_file)
  gpus = tf.config.list_logical_devices("GPU")
  if name == "mirrored" or (name == "auto" and len(gpus) > 1):
    devices = gpus or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([d.name for d in devices])
  if gpus:
    return tf.distribute.OneDeviceStrategy(gpus[0].name)
  return tf.distribute.get_strategy()


def resolve(strategy):
  """The `tf.distribute.Strategy` that a user asks for.

  Args:
    strategy: a strategy, its name, or None for the one in scope.

  Raises:
    ValueError: if it is none, or one that the loop can't run under.
  """
  if isinstance(strategy, str):
    return strategy_for(strategy)
  if strategy is None:
    strategy = tf.distribute.get_strategy()
  if not isinstance(strategy, tf.distribute.Strategy):
    checks.fail("strategy", strategy, "a tf.distribute.Strategy or its name")
  check(strategy)
  return strategy


def check_scope(strategy, variables):
  """Refuses a model or optimizer made outside a multi-replica strategy.

  TensorFlow itself would fail with a bare AssertionError inside the graph.

  Args:
    strategy: the `tf.distribute.Strategy`.
    variables: {argument's name: its keras.Variables}.

  Raises:
    ValueError: naming the first argument that was.
  """
  if strategy.num_replicas_in_sync == 1:
    return
  created = strategy.extended.variable_created_in_scope
  for name, group in variables.items():
    if not all(created(variable.value) for variable in group):
      kind = type(strategy).__name__
      rule = f"made under the scope of the {kind} (or given as a callable)"
      checks.fail(name, "a finished object", rule)


def check(strategy):
  """Refuses strategies that the loop can't run under, with the reason."""
  kind = type(strategy).__name__
  for one in type(strategy).__mro__:
    if one.__name__ in _REFUSED:
      checks.fail("strategy", kind, f"another: it {_REFUSED[one.__name__]}")


def _multi_worker(cluster, peer_timeout, secret_file):
  """MultiWorkerMirroredStrategy of a cluster whose workers have all come."""
  peers.join(cluster, peer_timeout, secret_file)
  # `peers` watches instead: the service swallows SIGTERM, names no address,
  # and takes a machine that was suspended for a lost one.
  _context.context().configure_coordination_service(service_type="")
  gpus = len(tf.config.list_physical_devices("GPU"))
  resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
    tf.train.ClusterSpec({"worker": list(cluster.workers)}),
    task_type="worker",
    task_id=cluster.index,
    num_accelerators={"GPU": gpus},
    rpc_layer="grpc",
  )
  collectives = tf.distribute.experimental.CommunicationImplementation
  options = tf.distribute.experimental.CommunicationOptions(
    implementation=collectives.NCCL if gpus else collectives.RING
  )
  with peers.current().starting():
    return tf.distribute.MultiWorkerMirroredStrategy(resolver, options)


def _has_tpu():
  return bool(tf.config.list_physical_devices("TPU"))


def _tpu():
  """TPUStrategy of the TPU that this machine has."""
  if not _has_tpu():
    checks.fail("strategy", "tpu", "another: TensorFlow sees no TPU here")
  resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu="local")
  tf.tpu.experimental.initialize_tpu_system(resolver)
  return tf.distribute.TPUStrategy(resolver)


def _grow_memory():
  """GPU memory as it is needed, not all of it at once."""
  for gpu in tf.config.list_physical_devices("GPU"):
    # In use already, or no real one (a test's): left as it is.
    with contextlib.suppress(RuntimeError, ValueError):
      tf.config.experimental.set_memory_growth(gpu, True)


def on_gpu(strategy):
  """Whether a strategy's replicas compute on GPUs."""
  gpus = [gpu.name for gpu in tf.config.list_logical_devices("GPU")]
  try:
    devices = strategy.extended.worker_devices
  except RuntimeError:  # TensorFlow's default one: on the GPU if there is one
    return bool(gpus)
  return not {_place(gpu) for gpu in gpus}.isdisjoint(map(_place, devices))


def _place(device):
  """(type, index) of a device's name, without its job and task."""
  spec = tf.DeviceSpec.from_string(device)
  return spec.device_type, spec.device_index


class Count(typing.NamedTuple):
  """Examples of a global batch, int32 scalars.

  Attributes:
    examples: how many there are.
    copied: sum over the replicas of the examples that each gets: `examples`,
      or that times the replicas where a smaller batch goes whole to each.
  """

  examples: typing.Any
  copied: typing.Any

  def fraction(self, examples):
    """What part of the batch some examples are, float64 scalar."""
    return examples / self.copied


def counted(examples, replicas):
  """The `Count` of a global batch that `share` divides."""
  if replicas == 1:
    return Count(examples, examples)
  whole = examples < replicas
  return Count(examples, tf.where(whole, examples * replicas, examples))


def share(examples, replicas):
  """A replica's part of a global batch: contiguous, sizes differ by one.

  No part is empty: of a batch smaller than the replicas each gets all of it,
  and `Count.copied` says so.

  Args:
    examples: int32 scalar tensor, those of the global batch.
    replicas: how many there are.

  Returns:
    (start, stop): int32 scalar tensors.
  """
  context = tf.distribute.get_replica_context()
  replica = context.replica_id_in_sync_group
  whole = examples < replicas
  start = tf.where(whole, 0, replica * examples // replicas)
  stop = tf.where(whole, examples, (replica + 1) * examples // replicas)
  return start, stop


def first(strategy, value):
  """Replica 0's component of a value that is the same on all."""
  local = strategy.experimental_local_results
  return tf.nest.map_structure(lambda one: local(one)[0], value)
