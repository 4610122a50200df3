"""How batches enter a compiled call, and the calls compiled for them."""

import functools

import tensorflow as tf

from trainloop import data, distribution
from trainloop import step as step_lib


class Feed:
  """Compiles bodies that read batches, once for all data of one kind.

  A source is the (x, y, sample_weight) tensors of the whole data, read at
  int32 indices (n, batch); or an iterator of a (distributed) dataset, read
  int32 n times. Both enter as arguments: no new data, no other n retraces.

  Args:
    strategy: the `tf.distribute.Strategy`.
  """

  def __init__(self, strategy):
    self._strategy = strategy
    self._replicas = strategy.num_replicas_in_sync
    self._compiled = {}

  def call(self, body, source, *where):
    """Calls `body(fetch, *where)`, compiled.

    Args:
      body: traced with `fetch(where, i)`, which gives the i-th batch as
        (per-replica batch, examples of the global batch as int32 scalar).
      source: see the class.
      *where: index tensors or counts; see the class.

    Returns:
      What the body returns.
    """
    if isinstance(source, tuple):
      fetch = functools.partial(self._gather, source)
      flat = data.leaves(source)
      spec = [tf.TensorSpec([None, *a.shape[1:]], a.dtype) for a in flat]
      place = tf.TensorSpec([None, None], tf.int32)
      kind = data.map_leaves(lambda a: (a.shape[1:], a.dtype), source)
    else:
      fetch, flat = self._next, source
      kind = spec = tf.type_spec_from_value(source)
      place = tf.TensorSpec([], tf.int32)
    key = (body, repr(kind), len(where))
    if key not in self._compiled:
      self._compiled[key] = tf.function(
        lambda flat, *where: body(functools.partial(fetch, flat), *where),
        input_signature=[spec, *([place] * len(where))],
        autograph=False,
      )
    with self._strategy.scope():  # cross-replica context while it is traced
      return self._compiled[key](flat, *where)

  def traces(self, body):
    """How often `body` was traced."""
    return sum(
      function.experimental_get_tracing_count()
      for (traced, *_), function in self._compiled.items()
      if traced == body
    )

  def _gather(self, source, flat, indices, i):
    """Row i's examples, each replica its contiguous share."""
    row, arrays = indices[i], data.pack(source, flat)

    def gather():
      context = tf.distribute.get_replica_context()
      mine = distribution.share(
        row, context.replica_id_in_sync_group, self._replicas
      )
      return data.map_leaves(lambda array: tf.gather(array, mine), arrays)

    return self._strategy.run(gather), tf.shape(row)[0]

  def _next(self, iterator, n, i):
    del n, i
    batch = (*next(iterator), None)[:3]
    sizes = self._strategy.run(step_lib.examples_in, args=(batch,))
    return batch, self._strategy.reduce("sum", sizes, axis=None)


def length(where):
  """Updates in a window: rows of the indices, or n itself."""
  return where if where.shape.rank == 0 else tf.shape(where)[0]
