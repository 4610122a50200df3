"""Flags for what a run runs on, and the strategy that they describe."""

from absl import flags

from cli import flag_rules

_OF_WORKERS = ("workers", "worker_index", "peer_timeout", "cluster_secret_file")
_STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker", "tpu")


def define():
  """Defines the flags."""
  flags.DEFINE_enum(
    "strategy",
    "auto",
    _STRATEGIES,
    "devices; auto: a TPU, several workers, several GPUs, or one device",
  )
  flags.DEFINE_list(
    "workers",
    None,
    "multi_worker: host:port of each worker, separated by commas; unset: from "
    "TF_CONFIG or Slurm",
  )
  flag_rules.integer(
    "worker_index",
    None,
    "which of --workers this is [index from 0]; unset: from TF_CONFIG or Slurm",
    0,
  )
  flag_rules.number(
    "peer_timeout", 120.0, "time to wait for other workers [s]", open_low=True
  )
  flags.DEFINE_string(
    "cluster_secret_file",
    None,
    "multi_worker: file with a secret that all workers have, closed to other "
    "users; unset: that of TRAINLOOP_CLUSTER_SECRET_FILE, or no secret",
  )


def check():
  """Rules about several flags, before TensorFlow is imported."""
  values = flags.FLAGS
  if (values.workers is None) != (values.worker_index is None):
    flag_rules.stop("--workers and --worker_index need each other")
  if values.strategy not in ("auto", "multi_worker"):
    for name in _OF_WORKERS:
      if values[name].present:
        choice = f"--strategy={values.strategy}"
        flag_rules.stop(f"--{name} has no effect with {choice}")


def strategy(quietly, dry=False):
  """The strategy that the flags describe; before TensorFlow is used.

  Args:
    quietly: context manager that holds TensorFlow's own lines back.
    dry: whether nothing will be trained: other workers are not waited for.

  Returns:
    The strategy.

  Raises:
    ValueError, MissingPeerError: see `trainloop.strategy_for`.
  """
  import trainloop

  values, cluster = flags.FLAGS, None
  if values.strategy in ("auto", "multi_worker"):
    cluster = trainloop.devices.cluster.find(
      values.workers, values.worker_index
    )
    if cluster is not None and not dry:
      # Outside of `quietly`: these errors are one line.
      trainloop.devices.peers.join(
        cluster, values.peer_timeout, values.cluster_secret_file
      )
  if dry:
    return trainloop.strategy_for("one_device")
  with quietly:
    return trainloop.strategy_for(values.strategy, cluster, values.peer_timeout)
