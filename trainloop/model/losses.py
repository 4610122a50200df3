"""The losses of an update: one, or one an optimizer."""

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Losses:
  """What the losses of an update are called, and what each moves.

  Attributes:
    targets: {name: positions of the trainable variables that it moves}; None
      for one loss, which moves all.
  """

  targets: dict | None = None

  @property
  def columns(self):
    """Names of the columns that rows have of them."""
    return tuple(f"loss/{name}" for name in self.targets or ())

  def named(self, losses):
    """(what a row holds of the losses by name, their sum); in graph.

    Args:
      losses: float32 (losses,); a scalar of the one.
    """
    if self.targets is None:
      return {}, losses
    named = zip(self.columns, tf.unstack(losses), strict=True)
    return dict(named), tf.reduce_sum(losses)
