"""What the ids and labels of a step's batches must keep to."""

import contextlib

from trainloop.model import bounds, lookups, targets


class RangeChecks:
  """Watches the forward passes of a model, while they are traced.

  Args:
    model: a built keras.Model.
    loss: the loss as the user gave it; None where targets are not known.

  Attributes:
    layers: the model's Embeddings.
    bounds: the `Bound`s met so far; an alarm counts them from 1.
  """

  def __init__(self, model, loss):
    self._model, self._loss = model, loss
    self.layers = lookups.embeddings(model)
    self.bounds = []

  @contextlib.contextmanager
  def over(self, check_mode):
    """A context for one pass; gives its `bounds.RangeCheck`.

    Args:
      check_mode: how ids and labels are checked; see `bounds.check_mode`.
    """
    range_check = bounds.RangeCheck(self.bounds, check_mode)

    def observe(layer, ids):
      return range_check.observe(lookups.bound(layer), ids)

    with lookups.observed(self.layers, observe):
      yield range_check

  def labels(self, range_check, batch, outputs):
    """The batch with its labels in range; traced."""
    x, y, weight = batch
    y = targets.bounded(
      self._loss, y, self._model, outputs, range_check.observe
    )
    return x, y, weight

  def broken(self, alarm):
    """(what a batch had, in words, the value) for an alarm; or None.

    Args:
      alarm: float64 (2,) array, see `bounds`.
    """
    place, value = int(alarm[0]), float(alarm[1])
    return (self.bounds[place - 1].broken_by(value), value) if place else None
