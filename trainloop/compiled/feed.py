"""How batches enter a compiled call, and the calls compiled for them."""

import contextlib
import functools

import tensorflow as tf

from trainloop.compiled import fast_random
from trainloop.data import structures
from trainloop.devices import strategies


class Fetch:
  """Gives a source's batches, in graph: `fetch(indices, i)` the i-th, as
  (per-replica batch, its `strategies.Count`).

  Args:
    read: function of the source, the indices and i.
    source: what is read.
    ahead: function of a source that ends, see the method.
  """

  def __init__(self, read, source, ahead):
    self._read, self._source, self._ahead = read, source, ahead
    self.ends = _ends(source)  # whether it may have fewer batches than indices

  def __call__(self, indices, i):
    return self._read(self._source, indices, i)

  def ahead(self):
    """The next batch of a source that ends.

    Returns:
      (bool scalar tensor, function): whether there is one on every worker, and
      what gives it as a call does.
    """
    return self._ahead(self._source)


class Feed:
  """Compiles bodies that read batches, once for all data of one kind.

  A source is the (x, y, sample_weight) tensors of the whole data, read at
  int32 indices (n, batch); or those of some batches, (steps, batch, ...), read
  at int32 (n,); or an iterator of a (distributed) dataset, read int32 n times;
  an evaluation reads one of a `tf.data.Dataset` to its end, if that is nearer.
  All enter as arguments: no new data, no other n retraces.

  Args:
    strategy: the `tf.distribute.Strategy`.
    jit: whether XLA compiles calls whose source is tensors; then all shapes
      are fixed.
  """

  def __init__(self, strategy, jit=False):
    self._strategy = strategy
    self._replicas = strategy.num_replicas_in_sync
    self._jit = jit
    self._compiled = {}
    self._recent = {}  # by body: what it was called with last

  def call(self, body, source, *where):
    """Calls `body(fetch, *where)`, compiled.

    Args:
      body: traced with a `Fetch`, and `where`.
      source: see the class.
      *where: int32 index tensors (n, batch), and scalars.

    Returns:
      What the body returns.
    """
    shapes = [(one.shape, one.dtype) for one in where]
    known = self._recent.get(body)
    with self._strategy.scope():  # cross-replica context while it is traced
      if known is None or known[0] is not source or known[1] != shapes:
        known = source, shapes, *self._find(body, source, where)
        self._recent[body] = known
      _, _, function, flat = known
      return function(flat, *where)

  def _find(self, body, source, where):
    """The compiled body for such arguments, and the source as it takes it."""
    jit = self._jit and isinstance(source, tuple)
    if isinstance(source, tuple):
      fetch = functools.partial(self._gather, source)
      flat = structures.leaves(source)
      spec = [_spec(a, 1, jit) for a in flat]
      kind = structures.map_leaves(lambda a: _spec(a, 1, jit), source)
    else:
      fetch, flat = self._next, source
      kind = spec = tf.type_spec_from_value(source)
    places = [_spec(one, 2, jit) for one in where]
    key = (body, repr(kind), repr(places))

    fast = jit and not strategies.on_gpu(self._strategy)

    def traced(flat, *where):
      with fast_random.vectorised() if fast else contextlib.nullcontext():
        return body(Fetch(fetch, flat, self._ahead), *where)

    if key not in self._compiled:
      self._compiled[key] = tf.function(
        traced,
        input_signature=[spec, *places],
        autograph=False,
        jit_compile=jit,
      )
    # The concrete function: the other looks its arguments up at every call,
    # half a millisecond of the host's time.
    return self._compiled[key].get_concrete_function(), flat

  def fetch(self, source):
    """The `Fetch` of tensors of the whole data; in graph."""
    flat = structures.leaves(source)
    return Fetch(functools.partial(self._gather, source), flat, self._ahead)

  def traces(self, body):
    """How often `body` was traced."""
    return sum(
      function.experimental_get_tracing_count()
      for (traced, *_), function in self._compiled.items()
      if traced == body
    )

  def _gather(self, source, flat, indices, i):
    """Batch i's examples, each replica its contiguous share."""
    # Not `indices[i]`: a slice's begin is a compile-time constant to XLA where
    # it comes from an argument or a variable: each value compiles again.
    row, arrays = tf.gather(indices, i), structures.pack(source, flat)
    if indices.shape.rank == 1:  # batches, of which it is one
      take = functools.partial(tf.gather, indices=row)
      arrays = structures.map_leaves(take, arrays)
      row = tf.range(tf.shape(flat[0])[1])
    size = row.shape[0] or tf.shape(row)[0]

    def gather():
      if self._replicas == 1 and indices.shape.rank == 1:
        return arrays
      mine = row
      if self._replicas > 1:
        start, stop = strategies.share(tf.shape(row)[0], self._replicas)
        mine = row[start:stop]
      return structures.map_leaves(lambda array: tf.gather(array, mine), arrays)

    count = strategies.counted(tf.convert_to_tensor(size), self._replicas)
    return self._strategy.run(gather), count

  def _next(self, iterator, indices, i):
    del indices, i
    batch = (*next(iterator), None)[:3]
    if _ends(iterator):
      return self._split(batch)
    sizes = self._strategy.run(structures.examples, args=(batch,))
    count = self._strategy.reduce("sum", sizes, axis=None)
    return batch, strategies.Count(count, count)

  def _ahead(self, iterator):
    """As `Fetch.ahead`, of an iterator that ends."""
    ahead = iterator.get_next_as_optional()
    there = ahead.has_value()
    if isinstance(self._strategy, tf.distribute.MultiWorkerMirroredStrategy):
      there = self._all(there)

    def batch():
      return self._split((*ahead.get_value(), None)[:3])

    return there, batch

  def _all(self, there):
    """Whether all workers have a batch: one alone would wait for the others'
    collectives for ever."""

    def replica():
      context = tf.distribute.get_replica_context()
      return context.all_reduce("sum", tf.cast(there, tf.float32))

    have = strategies.first(self._strategy, self._strategy.run(replica))
    return have > self._replicas - 0.5

  def _split(self, batch):
    """A global batch as each replica's contiguous share, and its `Count`."""
    size = structures.examples(batch)
    count = strategies.counted(size, self._replicas)
    if self._replicas == 1:
      return batch, count

    def take():
      start, stop = strategies.share(size, self._replicas)
      return structures.part(batch, start, stop)

    return self._strategy.run(take), count


def _ends(source):
  return isinstance(source, tf.data.Iterator)


def _spec(tensor, free, fixed):
  """The tensor's spec; unless `fixed`, its first `free` sizes may change."""
  shape = list(tensor.shape)
  if not fixed:
    shape[:free] = [None] * min(free, len(shape))
  return tf.TensorSpec(shape, tensor.dtype)
