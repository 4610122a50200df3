"""Moving statistics of BatchNormalization, computed anew over training data."""

import contextlib

import tensorflow as tf

from trainloop.compiled import passes
from trainloop.compiled import replica as replica_lib
from trainloop.compiled.batches import Feed
from trainloop.model import phases


class StatisticsPass:
  """Gives the moving statistics the mean over all examples of their batches.

  m <- m s / (s + n) + b n / (s + n) with s the examples before, n those of a
  batch and b its mean or variance, in the forward pass of training. All else
  that this moves (seeds, metrics, states of layers) is put back. Layers that
  rest in the fit keep theirs.

  Args:
    strategy: the `tf.distribute.Strategy` of the model.
    replica: a `Replica`.
    phase: the `Phase` of the fit.
    jit: whether XLA compiles the parts, where it can.
  """

  def __init__(self, strategy, replica, phase, jit=False):
    self._strategy, self._replica, self._phase = strategy, replica, phase
    self._feed = Feed(strategy, jit, gives_way=True)
    self._layers = phases.normalizations(replica.model)
    ids = {id(v.value) for one in self._layers for v in one.variables}
    self._own = [v for v in replica.touched if id(v) in ids]
    self._others = [v for v in replica.touched if id(v) not in ids]

  def __call__(self, parts):
    """Computes them.

    Args:
      parts: the parts of one pass, as the source's `evaluation` returns them.
    """
    before = self._state()
    examples = tf.constant(0, tf.int64)
    try:
      for part in parts:
        full, n = part.padded(part.room), tf.constant(part.length)
        (examples,) = self._feed.call(self._part, full, n, examples)
    finally:  # also where the host is interrupted between two calls
      self._put_back(before)

  def _part(self, batches, n, examples):
    """One part; examples so far, int64 scalar, as a tuple of one."""
    _, examples = passes.fold(batches, n, self._take, (examples,))
    return (examples,)

  def _take(self, batch, count, examples):
    after = examples + tf.cast(count.examples, tf.int64)
    share = tf.cast(examples / tf.maximum(after, 1), tf.float32)
    with self._phase.resting(), _momenta(self._layers, share):
      self._strategy.run(self._forward, args=(batch, count))
    return (after,)

  def _forward(self, batch, count):
    """A forward pass of training, as a replica sees it."""
    replica = self._replica
    before = replica_lib.read(self._own)
    statistics = replica.moving.read()
    replica.objective.outputs(batch, training=True)
    if replica.moving.variables:
      replica.moving.average(statistics, batch, count)
    # The mean of an empty batch is NaN.
    replica_lib.keep(count.examples > 0, self._own, before)

  @tf.function(autograph=False)
  def _state(self):
    return self._strategy.run(replica_lib.read, args=(self._others,))

  @tf.function(autograph=False)
  def _put_back(self, before):
    self._strategy.run(replica_lib.write, args=(self._others, before))


@contextlib.contextmanager
def _momenta(layers, momentum):
  """While a forward pass is traced, layers have this momentum, a tensor."""
  own = [layer.momentum for layer in layers]
  try:
    for layer in layers:
      # Not through Keras' own setattr, which would track a tensor.
      vars(layer)["momentum"] = momentum
    yield
  finally:
    for layer, value in zip(layers, own, strict=True):
      vars(layer)["momentum"] = value
