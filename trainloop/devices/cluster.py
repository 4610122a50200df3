"""Who the workers are: from flags, TF_CONFIG or Slurm, checked beforehand.

TensorFlow takes any list and then waits for ever for a worker that can't be
there; everything that can be known to be wrong is refused here, in one line.
"""

import dataclasses
import json
import os

import tensorflow as tf

from kernels import checks

_TASKS = ("chief", "worker")
_REASONS = {
  "ps": "without parameter servers: replicas here train in step",
  "evaluator": "without an evaluator: the loop validates inside the run",
  "master": "with the chief named 'chief', or worker 0 being it",
}
_PORT = "host:port with a port from 1 to 65535"


@dataclasses.dataclass(frozen=True)
class Cluster:
  """The workers of a run, and which of them this process is.

  Args:
    workers: "host:port" of each worker; worker 0 is the chief.
    index: of this process, from 0.

  Raises:
    ValueError: if an address can't be one or is there twice, or there is no
      worker `index`.
  """

  workers: tuple[str, ...]
  index: int

  def __post_init__(self):
    if not isinstance(self.workers, (list, tuple)) or not self.workers:
      checks.fail("workers", self.workers, "a list of host:port, at least one")
    object.__setattr__(self, "workers", tuple(self.workers))
    by_place = {}
    for worker in self.workers:
      place = split(worker)
      if place in by_place:
        rule = (
          f"another address than {by_place[place]}: each worker has its own"
        )
        checks.fail("workers", worker, rule)
      by_place[place] = worker
    checks.integer("worker_index", self.index, 0, len(self.workers) - 1)

  @property
  def count(self):
    """How many workers there are."""
    return len(self.workers)

  def name(self, index):
    """A worker in words, for messages."""
    return f"worker {index} at {self.workers[index]}"


def split(worker):
  """(host, port) of "host:port"; a loopback host is "127.0.0.1".

  Raises:
    ValueError: if it is not that.
  """
  if not isinstance(worker, str):
    checks.fail("workers", worker, f"of addresses {_PORT}")
  host, _, port = worker.rpartition(":")
  digits = port.isascii() and port.isdecimal()
  if not host or host != host.strip() or "/" in host or not digits:
    checks.fail("workers", worker, f"of addresses {_PORT}")
  if not 1 <= int(port) <= 65535:
    checks.fail("workers", worker, f"of addresses {_PORT}")
  host = host.strip("[]").lower()
  return ("127.0.0.1" if host in ("localhost", "::1") else host), int(port)


def find(workers=None, index=None):
  """The cluster that flags, TF_CONFIG or Slurm describe, in this order.

  Args:
    workers: addresses as a list, or None.
    index: of this process, or None.

  Returns:
    A `Cluster`, or None if nothing describes one.

  Raises:
    ValueError: if what describes it is wrong.
  """
  if workers is not None or index is not None:
    if index is None:
      checks.fail("worker_index", None, "given together with `workers`")
    return Cluster(workers, index)
  if os.environ.get("TF_CONFIG", "").strip():
    return from_tf_config(os.environ["TF_CONFIG"])
  if int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
    return from_slurm()
  return None


def from_tf_config(text):
  """The cluster of a TF_CONFIG, or None if it names none.

  Args:
    text: JSON {"cluster": {"worker": [...]}, "task": {"type", "index"}}; a
      "chief" counts as worker 0.

  Returns:
    A `Cluster` or None.

  Raises:
    ValueError: in one line, for whatever is wrong.
  """
  try:
    config = json.loads(text)
  except ValueError as error:
    checks.fail("TF_CONFIG", text, f"JSON ({error})")
  if not isinstance(config, dict):
    checks.fail("TF_CONFIG", config, "a JSON object")
  cluster, task = config.get("cluster", {}), config.get("task", {})
  for name, part in (("cluster", cluster), ("task", task)):
    if not isinstance(part, dict):
      checks.fail(f"TF_CONFIG {name}", part, "a JSON object")
  if not cluster:
    return None
  kind = task.get("type")
  jobs = _jobs({k: v for k, v in cluster.items() if k != "evaluator"})
  if kind in _REASONS:
    checks.fail("TF_CONFIG task type", kind, _REASONS[kind])
  checks.choice("TF_CONFIG task type", kind, tuple(jobs))
  last = len(jobs[kind]) - 1
  index = checks.integer("TF_CONFIG task index", task.get("index"), 0, last)
  chiefs = jobs.get("chief", [])
  index += len(chiefs) if kind == "worker" else 0
  return Cluster([*chiefs, *jobs.get("worker", [])], index)


def _jobs(cluster):
  """{"chief" or "worker": addresses}, checked."""
  for job, addresses in cluster.items():
    if job in _REASONS:
      checks.fail("TF_CONFIG cluster", job, _REASONS[job])
    checks.choice("TF_CONFIG cluster", job, _TASKS)
    if not isinstance(addresses, list) or not addresses:
      rule = "a list of host:port, at least one"
      checks.fail(f"TF_CONFIG cluster {job}", addresses, rule)
  if len(cluster.get("chief", [])) > 1:
    checks.fail("TF_CONFIG cluster chief", cluster["chief"], "one address")
  return cluster


def from_slurm():
  """The cluster of a Slurm step, by TensorFlow's SlurmClusterResolver.

  Raises:
    ValueError: if Slurm's environment can't be read.
  """
  try:
    tasks = int(os.environ["SLURM_STEP_NUM_TASKS"])
    # Which GPUs a task sees is left to Slurm; the resolver would ask
    # nvidia-smi, and can't count tasks on a node without GPUs.
    resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
      gpus_per_node=tasks, gpus_per_task=1, auto_set_gpu=False
    )
    workers = resolver.cluster_spec().as_dict()["worker"]
    _, index = resolver.get_task_info()
  except (RuntimeError, ValueError, KeyError) as error:
    checks.fail("SLURM_*", str(error).splitlines()[0], "those of a Slurm step")
  node = os.environ.get("SLURMD_NODENAME")
  if node and workers[index].rpartition(":")[0] != node:
    # The resolver sorts the nodes as text, Slurm by number.
    rule = f"{node} first: names of nodes must sort as text as by number"
    checks.fail("SLURM_STEP_NODELIST", workers[index], rule)
  return Cluster(workers, index)
