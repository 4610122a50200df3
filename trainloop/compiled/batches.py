"""The batches of a compiled call, and the calls compiled for them."""

import contextlib
import functools

import numpy as np
import tensorflow as tf

from trainloop.compiled import fast_random, trace_numbers, xla_ops
from trainloop.data import structures
from trainloop.data.protocol import Resident, Staged, Stream
from trainloop.devices import strategies


class Batches:
  """The batches of a compiled call, in graph.

  `batches(i)` is the i-th: (per-replica batch, its `strategies.Count`).

  Args:
    take: function of i that gives it.
    ahead: function for an iterator that may end before n; None for others.
  """

  def __init__(self, take, ahead=None):
    self._take, self._ahead = take, ahead
    self.ends = ahead is not None  # whether it may end before them all

  def __call__(self, i):
    return self._take(i)

  def ahead(self):
    """The next batch of an iterator that may end.

    Returns:
      (bool scalar tensor, function): whether there is one on every worker, and
      what gives it as a call does.
    """
    return self._ahead()


class Feed:
  """Compiles bodies that read batches, once for all data of one kind.

  Data enter as arguments: other data of the same shapes do not trace a body
  again, nor does, without `jit`, another number of batches or, unless all are
  `whole`, of examples in them.

  Args:
    strategy: the `tf.distribute.Strategy`.
    jit: whether XLA compiles calls that read tensors; then all shapes are
      fixed.
    gives_way: whether what XLA can't run runs in the graph instead.
    whole: whether all batches have one size. Then a graph knows it: the
      gradients of means and sums are a fifth of a convolutional network's
      time where it does not.
  """

  def __init__(self, strategy, jit=False, gives_way=False, whole=False):
    self._strategy = strategy
    self._replicas = strategy.num_replicas_in_sync
    self._jit, self._gives_way, self._whole = jit, gives_way, whole
    self._compiled, self._in_graph = {}, set()
    self._recent = {}  # by body: what it was called with last

  def call(self, body, part, *extra):
    """Calls `body(batches, *extra)`, compiled.

    Args:
      body: traced with the `Batches` of the part, and `extra`.
      part: a `Resident`, `Staged` or `Stream`.
      *extra: tensors, of which the first size may change.

    Returns:
      What the body returns.
    """
    where = [tf.constant(_places(part)), *extra]
    shapes = [(one.shape, one.dtype) for one in where]
    source, recent = _source(part), self._recent.get(body)
    with self._strategy.scope():  # cross-replica context while it is traced
      known = recent and recent[0] is source and recent[1] == shapes
      if not known:
        recent = source, shapes, self._find(body, part, where)
        self._recent[body] = recent
      function, flat, jit = recent[2]
      try:
        return function(flat, *where)
      except tf.errors.OpError:
        if known or not (jit and self._gives_way):
          raise
        # XLA refuses before anything runs; any other error comes again.
        self._in_graph.add(body)
        del self._recent[body]
    return self.call(body, part, *extra)

  def attempt(self, body, part, *extra):
    """Traces such a call, without making it.

    Args: as in `call`.

    Returns:
      A function that makes it, on any thread, and says why XLA can't run it;
      "" if it can.
    """
    where = [tf.constant(_places(part)), *extra]
    with self._strategy.scope():
      function, flat, _ = self._find(body, part, where)
    why = xla_ops.obstacle(function.graph)

    def made():
      if why:
        return why
      try:
        with self._strategy.scope():
          function(flat, *where)
      except tf.errors.OpError as error:
        return xla_ops.refusal(error)
      return ""

    return made

  def _find(self, body, part, where):
    """The compiled body for such arguments, the source as it takes it, and
    whether XLA compiles it."""
    source, kind = _source(part), type(part)
    jit = self._jit and kind is not Stream and body not in self._in_graph
    if kind is Stream:
      flat, spec = source, tf.type_spec_from_value(source)
      shapes = spec
    else:
      flat = structures.leaves(source)
      spec = [_spec(a, 1, jit) for a in flat]
      shapes = structures.map_leaves(lambda a: _spec(a, 1, jit), source)
    places, *extra = where
    free = 1 if self._whole else 2
    specs = [_spec(places, free, jit), *(_spec(one, 1, jit) for one in extra)]
    key = (body, kind, jit, repr(shapes), repr(specs))
    if key not in self._compiled:
      self._compiled[key] = function = tf.function(
        self._traced(body, kind, shapes, jit),
        input_signature=[spec, *specs],
        autograph=False,
        jit_compile=jit,
      )
      name = repr((body.__qualname__, *key[1:]))
      with trace_numbers.settled(name) if jit else contextlib.nullcontext():
        graph = function.get_concrete_function().graph
      if jit and self._gives_way and xla_ops.obstacle(graph):
        self._in_graph.add(body)
        return self._find(body, part, where)
    # The concrete function: the other looks its arguments up at every call,
    # half a millisecond of the host's time.
    return self._compiled[key].get_concrete_function(), flat, jit

  def _traced(self, body, kind, shapes, jit):
    """What is traced: `body` of the data's tensors, or iterator."""
    fast = jit and not strategies.on_gpu(self._strategy)

    def traced(flat, places, *extra):
      with fast_random.vectorised() if fast else contextlib.nullcontext():
        return body(self._open(kind, shapes, flat, places), *extra)

    return traced

  def traces(self, body):
    """How often `body` was traced."""
    return sum(
      function.experimental_get_tracing_count()
      for (traced, *_), function in self._compiled.items()
      if traced == body
    )

  def _open(self, kind, frame, flat, places):
    """The `Batches` of a part; traced.

    Args:
      kind: `Resident`, `Staged` or `Stream`.
      frame: a structure like its tensors; of an iterator anything.
      flat: its tensors in order, or the iterator.
      places: see `Batches`.
    """
    if kind is not Stream:
      gather = self._gather if kind is Resident else self._stage
      return Batches(functools.partial(gather, frame, flat, places))
    ahead = functools.partial(self._ahead, flat) if _ends(flat) else None
    return Batches(functools.partial(self._next, flat), ahead)

  def _gather(self, frame, flat, indices, i):
    """The examples of batch i, each replica its contiguous share."""
    # Not `indices[i]`: a slice's begin is a compile-time constant to XLA where
    # it comes from an argument or a variable: each value compiles again.
    row, arrays = tf.gather(indices, i), structures.pack(frame, flat)
    size = row.shape[0] or tf.shape(row)[0]
    return self._shared(arrays, row, size)

  def _stage(self, frame, flat, positions, i):
    """Batch i of a stretch, each replica its contiguous share."""
    place, arrays = tf.gather(positions, i), structures.pack(frame, flat)
    take = functools.partial(tf.gather, indices=place)
    arrays = structures.map_leaves(take, arrays)
    row = tf.range(tf.shape(flat[0])[1])
    size = row.shape[0] or tf.shape(row)[0]
    return self._shared(arrays, row, size, whole=True)

  def _shared(self, arrays, row, size, whole=False):
    """Some examples as each replica's contiguous share, and their `Count`.

    Args:
      arrays: (x, y, sample_weight) tensors.
      row: int32 (batch,): examples in them.
      size: how many, int or int32 scalar.
      whole: whether these are all examples, in order.
    """

    def gather():
      if self._replicas == 1 and whole:
        return arrays
      mine = row
      if self._replicas > 1:
        start, stop = strategies.share(tf.shape(row)[0], self._replicas)
        mine = row[start:stop]
      return structures.map_leaves(lambda array: tf.gather(array, mine), arrays)

    count = strategies.counted(tf.convert_to_tensor(size), self._replicas)
    return self._strategy.run(gather), count

  def _next(self, iterator, i):
    """The next batch, whatever i is."""
    del i
    batch = structures.triple(next(iterator))
    if _ends(iterator):
      return self._split(batch)
    sizes = self._strategy.run(structures.examples, args=(batch,))
    count = self._strategy.reduce("sum", sizes, axis=None)
    return batch, strategies.Count(count, count)

  def _ahead(self, iterator):
    """As `Batches.ahead`."""
    ahead = iterator.get_next_as_optional()
    there = ahead.has_value()
    if isinstance(self._strategy, tf.distribute.MultiWorkerMirroredStrategy):
      there = self._all(there)

    def batch():
      return self._split(structures.triple(ahead.get_value()))

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


def _source(part):
  """What a part reads from: tensors, or an iterator."""
  if isinstance(part, Resident):
    return part.arrays
  return part.stretch if isinstance(part, Staged) else part.iterator


def _places(part):
  """Where its batches stand; of an iterator how many it gives."""
  if isinstance(part, Resident):
    return part.indices
  return part.positions if isinstance(part, Staged) else np.int32(part.length)


def _ends(iterator):
  """Whether an iterator may end before its `length`: one of a dataset may, a
  distributed one gives empty batches instead."""
  return isinstance(iterator, tf.data.Iterator)


def _spec(tensor, free, fixed):
  """The tensor's spec; unless `fixed`, its first `free` sizes may change."""
  shape = list(tensor.shape)
  if not fixed:
    shape[:free] = [None] * min(free, len(shape))
  return tf.TensorSpec(shape, tensor.dtype)
