"""What trains without an error and can hardly be meant: a line of warning.

Asked of the model's output for the first batch and of targets, before step 1.
"""

import functools

import keras
import numpy as np

from kernels import checks
from trainloop.model import targets

_BINARY = ("binary_crossentropy", "binary_focal_crossentropy")
_SPARSE = "sparse_categorical_crossentropy"
_ONE_HOT = ("categorical_crossentropy", "categorical_focal_crossentropy")
_CLASSES = (*_ONE_HOT, _SPARSE)
# By loss: which targets are odd, and what they would have to be.
_ODD_TARGETS = {
  "poisson": (lambda y: y < 0, "counts >= 0"),
  "mean_squared_logarithmic_error": (lambda y: y < 0, ">= 0: less counts as 0"),
  "mean_absolute_percentage_error": (lambda y: y == 0, "not 0: it divides"),
  "hinge": (lambda y: ~np.isin(y, (-1, 0, 1)), "-1 and 1, or 0 and 1"),
  "squared_hinge": (lambda y: ~np.isin(y, (-1, 0, 1)), "-1 and 1, or 0 and 1"),
  "categorical_hinge": (lambda y: ~np.isin(y, (0, 1)), "0 and 1"),
  "kl_divergence": (lambda y: (y < 0) | (y > 1), "probabilities"),
  "dice": (lambda y: (y < 0) | (y > 1), "in [0, 1]"),
  "tversky": (lambda y: (y < 0) | (y > 1), "in [0, 1]"),
}
_ENOUGH = 16  # values that would hardly all be in (0, 1) by chance


def of_model(model, pairs):
  """Cautions about the outputs of a model beside their losses.

  Args:
    model: a built keras.Model.
    pairs: `targets.Pair`s, with the model's outputs for a batch.

  Returns:
    A list of lines.

  Raises:
    ValueError: for a softmax over one unit, and a label smoothing that is no
      fraction.
  """
  found = []
  for i, pair in enumerate(pairs):
    smoothing = _option(pair.loss, "label_smoothing")
    if smoothing is not None:
      checks.fraction("label_smoothing", smoothing)
    at = _position(model, pair, i)
    found += _of_output(pair, _activation(model, at), _values(pair.output))
  return found


def of_targets(name, pairs, whole):
  """Cautions about targets.

  Args:
    name: "data" or "validation".
    pairs: `targets.Pair`s.
    whole: whether they are all of the data's targets, not a batch's.

  Returns:
    A list of lines.
  """
  found = []
  for pair in pairs:
    loss, y = targets.name_of(pair.loss), _values(pair.target)
    if y is None:
      continue
    where = f"`{pair.where}`"
    if name != "data":
      where = f"{where} of `{name}`"
    if targets.widens(pair):
      line = "y[:, None] would be the same"
      found.append(f"{where} of shape (examples,) is taken as (examples, 1), "
                   f"as the output is; {line}")  # fmt: skip
    if loss in _ODD_TARGETS:
      is_odd, rule = _ODD_TARGETS[loss]
      odd = np.argwhere(is_odd(y))
      if len(odd):
        value = f"{y[tuple(odd[0])]:g} in example {odd[0][0]}"
        found.append(f"{where} has {value}; targets of {loss} are {rule}")
    if loss in (*_ONE_HOT, "kl_divergence"):
      found += _of_rows(where, loss, y)
    crossentropy = loss in (*_CLASSES, *_BINARY)
    if whole and crossentropy and len(y) > 1 and (y == y[:1]).all():
      found.append(f"{where} is the same in all examples: nothing to learn")
  return found


def _of_rows(where, loss, y):
  sums = y.sum(-1)
  odd = np.argwhere((np.abs(sums - 1) > 1e-3) | (y < 0).any(-1))
  if not len(odd):
    return []
  total = f"{sums[tuple(odd[0])]:g}"
  text = f"{where} is no distribution: example {odd[0][0]} sums to {total}"
  return [f"{text}; targets of {loss} are >= 0 and sum to 1"]


def _of_output(pair, activation, values):
  loss = targets.name_of(pair.loss)
  which = "the output" if pair.key is None else f"the output {pair.key!r}"
  units = pair.output.shape[-1] if len(pair.output.shape) else None
  if activation == "softmax" and units == 1:
    rule = "without a softmax over one unit, which is always 1 (sigmoid is for"
    checks.fail("model", tuple(pair.output.shape), f"{rule} two classes)")
  if loss not in (*_BINARY, *_CLASSES, "poisson") or values is None:
    return []
  if loss == "poisson":
    least = values.min(initial=0.0)
    if least >= 0:
      return []
    return [
      f"{which} has {least:.3g} on the first batch, and poisson takes its "
      "logarithm: end the model in an exponential or softplus"
    ]
  if units == 1 and loss in _CLASSES:
    return [f"{loss} over one unit is always 0: binary_crossentropy is meant?"]
  if _option(pair.loss, "from_logits"):
    return _of_logits(loss, which, activation, values)
  return _of_probabilities(loss, which, activation, values)


def _of_logits(loss, which, activation, values):
  if activation is None:  # a model that does not say what it ends in
    inside = values.size >= _ENOUGH and ((values > 0) & (values < 1)).all()
    sums = inside and np.allclose(values.sum(-1), 1, atol=1e-2)
    activation = "softmax" if sums else "sigmoid" if inside else ""
  if activation not in ("softmax", "sigmoid"):
    return []
  return [
    f"{loss} has from_logits=True, but {which} is a {activation} already: "
    "leave one of the two out"
  ]


def _of_probabilities(loss, which, activation, values):
  odd = values[(values < -1e-3) | (values > 1 + 1e-3)]
  ending = "sigmoid" if loss in _BINARY else "softmax"
  if odd.size:
    return [
      f"{which} has {odd.flat[0]:.3g} on the first batch, and {loss} takes "
      f"probabilities: end the model in a {ending}, or give the loss "
      "from_logits=True"
    ]
  if loss in _CLASSES and activation != "softmax" and values.ndim > 1:
    sums = values.sum(-1)
    odd = sums[np.abs(sums - 1) > 5e-2]
    if odd.size:
      return [
        f"{which} sums to {odd.flat[0]:.3g} over the classes, and {loss} "
        "divides by that: a softmax is meant?"
      ]
  return []


def _option(loss, name):
  """An option of a Keras loss; None where it has none."""
  if isinstance(loss, functools.partial):
    return loss.keywords.get(name)
  if not isinstance(loss, keras.losses.Loss):
    return None
  try:
    return loss.get_config().get(name)
  except (NotImplementedError, TypeError):  # a loss of the user's own
    return None


def _values(tensor):
  """Numbers of a tensor or array, float64 or integers; None if it has none."""
  if not hasattr(tensor, "numpy") and not isinstance(tensor, np.ndarray):
    return None
  array = tensor.numpy() if hasattr(tensor, "numpy") else tensor
  if not isinstance(array, np.ndarray) or not array.ndim or not array.size:
    return None
  if array.dtype.kind in "iub":
    return array.astype(np.int64)
  try:
    return array.astype(np.float64)
  except (TypeError, ValueError):
    return None


def _position(model, pair, i):
  """Where an output stands among the model's."""
  names = getattr(model, "output_names", None) or []
  if isinstance(pair.key, int):
    return pair.key
  return names.index(pair.key) if pair.key in names else i


def _activation(model, at):
  """Name of the activation that an output ends in; "" for none or another,
  None where the model does not say."""
  layers = getattr(model, "layers", None)
  outputs = getattr(model, "outputs", None)
  if not layers or not outputs or at >= len(outputs):
    return None
  for layer in reversed(layers):
    if isinstance(layer, keras.Model):
      if layer is layers[-1] and len(outputs) == 1:
        return _activation(layer, 0)
      continue
    try:
      made = keras.tree.flatten(layer.output)
    except (AttributeError, ValueError):
      continue
    if any(one is outputs[at] for one in made):
      return _own_activation(layer)
  return None


def _own_activation(layer):
  if isinstance(layer, keras.layers.Softmax):
    return "softmax"
  return getattr(getattr(layer, "activation", None), "__name__", "")
