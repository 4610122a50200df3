"""Sample weights where each example has several losses, as a sequence has."""

import keras
import tensorflow as tf


def spread(weight, outputs, places=2):
  """Sample weights as Keras multiplies them with losses and masks.

  A sequence, or an image, has a loss a place: a weight of shape (examples,)
  becomes (examples, 1), so that all of an example's losses have it. Keras
  itself would line it up with the places, which fails, or weighs places where
  there are as many of them as examples.

  Args:
    weight: one tensor, or one an output; None for none.
    outputs: the model's.
    places: most dimensions of an example's losses; beyond it a weight is left
      as it is.

  Returns:
    The same, or one an output.
  """
  several = isinstance(outputs, (dict, list, tuple))
  if weight is None or not several:
    return weight if weight is None else _spread(weight, outputs, places)
  if tf.is_tensor(weight):
    return keras.tree.map_structure(
      lambda one: _spread(weight, one, places), outputs
    )
  if isinstance(weight, dict) and isinstance(outputs, dict):
    pairs = {key: (one, outputs.get(key)) for key, one in weight.items()}
    return {key: spread(*pair, places) for key, pair in pairs.items()}
  if not isinstance(weight, dict) and len(weight) == len(outputs):
    values = outputs.values() if isinstance(outputs, dict) else outputs
    pairs = zip(weight, values, strict=True)
    return [spread(*pair, places) for pair in pairs]
  return weight


def of_keras(loss):
  """Whether all losses are Keras' own: they leave the last axis out."""
  losses = [one for one in keras.tree.flatten(loss) if one is not None]
  return all(
    isinstance(one, str)
    or (getattr(one, "__module__", "") or "").startswith("keras.")
    for one in losses
  )


def _spread(weight, output, places):
  rank = getattr(getattr(output, "shape", None), "rank", None)
  if weight.shape.rank != 1 or rank is None or not 2 < rank <= places + 1:
    return weight
  return tf.reshape(weight, [-1, *[1] * (rank - 2)])
