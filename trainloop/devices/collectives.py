"""What the workers of one run tell each other, by collectives.

Every process of a run with several workers executes the same windows; what
only one of them can know (how long a window took, what a checkpoint holds,
that a signal came) is agreed on here, so that no two ever decide differently.
"""

import zlib

import numpy as np
import tensorflow as tf

from kernels import checks
from trainloop.devices import strategies


class Workers:
  """The worker processes of a strategy; of most strategies there is one.

  Args:
    strategy: the `tf.distribute.Strategy`.

  Attributes:
    count: how many there are.
    index: of this one; 0 is the chief, the only one that writes.
  """

  def __init__(self, strategy):
    self._strategy = strategy
    self.count, self.index = 1, 0
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
      resolver = strategy.cluster_resolver
      jobs = resolver.cluster_spec().as_dict()
      chiefs, others = len(jobs.get("chief", [])), len(jobs.get("worker", []))
      if chiefs + others > 1:
        self.count = chiefs + others
        before = chiefs if resolver.task_type == "worker" else 0
        self.index = before + resolver.task_id
    self._local = strategy.num_replicas_in_sync // self.count

  @property
  def is_chief(self):
    """Whether this is the worker that writes."""
    return self.index == 0

  def gather(self, values):
    """Every worker's values; all workers call it at the same point.

    Args:
      values: a few finite numbers, as many on every worker.

    Returns:
      float64 (workers, len(values)), the same on every worker.
    """
    mine = np.array([values], np.float64)
    if self.count == 1:
      return mine
    table = np.zeros((self.count, len(values)))
    table[self.index] = mine
    return self._sum(tf.constant(table)).numpy()

  def from_chief(self, data):
    """The chief's bytes on every worker; the others' own are not looked at."""
    if self.count == 1:
      return data
    length = int(self.gather([len(data) if self.is_chief else 0])[0, 0])
    if not length:  # a collective of nothing crashes TensorFlow 2.21
      return b""
    padded = np.zeros(-(-length // 4) * 4, np.uint8)
    if self.is_chief:
      padded[:length] = np.frombuffer(data, np.uint8)
    words = self._sum(tf.constant(padded.view(np.int32))).numpy()
    return words.tobytes()[:length]

  def same(self, values):
    """Refuses a run whose workers were given different arguments.

    Args:
      values: {name: anything with a repr}.

    Raises:
      ValueError: on every worker, naming the first difference.
    """
    names = sorted(values)
    texts = [repr(names), *(repr(values[name]) for name in names)]
    table = self.gather([zlib.crc32(text.encode()) for text in texts])
    for worker, row in enumerate(table):
      for name, one, chief in zip(["data", *names], row, table[0], strict=True):
        if one != chief:
          rule = f"the same on all workers; worker {worker} has another"
          checks.fail(name, values.get(name), rule)

  def copy_from_chief(self, variables):
    """Gives mirrored variables the chief's values, to the byte."""
    if self.count == 1:
      return
    values = [variable.numpy() for variable in variables]
    data = b"".join(value.tobytes() for value in values)
    data, start = self.from_chief(data), 0
    for variable, value in zip(variables, values, strict=True):
      copied = np.frombuffer(data, value.dtype, value.size, start)
      start += value.nbytes
      if not self.is_chief:
        variable.assign(copied.reshape(value.shape))

  @tf.function(autograph=False, reduce_retracing=True)
  def _sum(self, mine):
    """Sum over the workers of a tensor of the same shape on each."""

    def replica():
      context = tf.distribute.get_replica_context()
      speaks = context.replica_id_in_sync_group % self._local == 0
      value = tf.where(speaks, mine, tf.zeros_like(mine))
      return context.all_reduce("sum", value)

    return strategies.first(self._strategy, self._strategy.run(replica))
