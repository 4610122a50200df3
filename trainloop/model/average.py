"""Averaged weights: the model holds them except while it trains.

Training moves the raw weights w and averages a of them. The model holds a in
the place of w in a validation, so that best weights are averages, while
callables run at an epoch's end, and after a fit.
"""

import contextlib

import tensorflow as tf

from kernels import checks
from trainloop.judging.kept_weights import KeptWeights


class Average(tf.Module):
  """Shows averages in the place of a model's weights, and hides them again.

  While they are shown, copies hold what training goes on from: w, a, and the
  model's other weights. Made under the strategy's scope; without weights it
  does nothing.

  Args:
    weights: tf.Variables of the model that have averages.
    averages: these, tf.Variables, as many.
    others: the model's other tf.Variables, as moving statistics.
  """

  def __init__(self, weights=(), averages=(), others=()):
    super().__init__(name="average")
    # Functions: a checkpoint must not hold these variables a second time.
    self._pairs = lambda: zip(weights, averages, strict=True)
    self._raw = KeptWeights(lambda: [*weights, *averages])
    self._others = KeptWeights(lambda: others)

  def __bool__(self):
    """Whether there are averages."""
    return bool(self._raw.copies)

  @property
  def copies(self):
    """What training goes on from, tf.Variables; valid while `show` holds."""
    return [*self._raw.copies, *self._others.copies]

  def show(self, step):
    """Puts the averages into the model, if they are not there; on the host.

    Args:
      step: updates done.
    """
    if self and not self._raw.holds:
      self._show(tf.constant(step, tf.int64))

  def hide(self):
    """Undoes `show`; what was put into `copies` meanwhile holds."""
    if self and self._raw.holds:
      self._raw_back()
      self._raw.forget()

  @contextlib.contextmanager
  def swapped_in(self, step):
    """Shows the averages for as long as a `with` lasts."""
    self.show(step)
    try:
      yield
    finally:
      self.hide()

  def settle(self):
    """Copies the model's weights into the averages: before the first update,
    and after best weights, which are averages, were put into the model."""
    if self:
      self._settle()

  def go_on(self):
    """Before training: puts back all that it goes on from.

    Weights that somebody has set since stay, and training goes on from them.
    """
    if self and self._raw.holds:
      if bool(self._untouched()):
        self._raw_back()
        self._others_back()
      self._raw.forget()

  @tf.function(autograph=False)
  def _show(self, step):
    self._raw.keep(step)
    self._others.keep(step)
    for weight, average in self._pairs():
      weight.assign(average)

  @tf.function(autograph=False)
  def _raw_back(self):
    self._raw.restore()

  @tf.function(autograph=False)
  def _others_back(self):
    self._others.restore()

  @tf.function(autograph=False)
  def _settle(self):
    for weight, average in self._pairs():
      average.assign(weight)

  @tf.function(autograph=False)
  def _untouched(self):
    """Whether the model still holds the averages; bool tensor."""
    same = [tf.reduce_all(tf.equal(w, a)) for w, a in self._pairs()]
    return tf.reduce_all(tf.stack(same))


def of(optimizer, model, replicas):
  """The `Average` of an optimizer's own averages; an empty one without.

  Args:
    optimizer: a built Keras optimizer.
    model: the built keras.Model.
    replicas: how many there are.

  Raises:
    ValueError: if Keras' averaging can't run on so many replicas.
  """
  if not optimizer.use_ema:
    return Average()
  every = optimizer.ema_overwrite_frequency
  if every is not None and replicas > 1:
    rule = "None with several replicas, where Keras can't overwrite weights"
    checks.fail("optimizer.ema_overwrite_frequency", every, rule)
  # Nothing public says which average is whose; a test notices if these move.
  pairs = [
    (weight.value, average.value)
    for weight, average in zip(
      optimizer._trainable_variables,
      optimizer._model_variables_moving_average,
      strict=True,
    )
    if average is not None
  ]
  averaged = {id(weight) for weight, _ in pairs}
  others = [w.value for w in model.weights if id(w.value) not in averaged]
  found = Average(*map(list, zip(*pairs, strict=True)), others)
  if not int(optimizer.iterations.numpy()):
    found.settle()  # before an update the average is the weights themselves
  return found
