"""Which variables a fit trains: all, or those that a pattern matches."""

import contextlib
import typing

import keras

from kernels import checks
from trainloop.model import groups
from trainloop.model.frozen_weights import listed, why


class Moves(typing.NamedTuple):
  """Which variables move in an update, by their positions.

  Attributes:
    frozen: of those that get no gradient, a frozenset.
    active: {position: bool scalar}; where that is False the gradient is zero.
  """

  frozen: typing.Any
  active: dict


class Phase:
  """The frozen part of a model in one fit.

  A frozen variable gets no gradient and counts in no norm; its slots stay as
  they are. A BatchNormalization none of whose variables the pattern matches
  runs in inference mode, as one that Keras is told not to train.

  Args:
    frozen: positions among the trainable variables, a frozenset.
    layers: the BatchNormalization layers that rest.

  Attributes:
    frozen: the same.
  """

  def __init__(self, frozen, layers=()):
    self.frozen, self._layers = frozen, layers

  @contextlib.contextmanager
  def resting(self):
    """Around the trace of an update: layers that rest are in inference."""
    own = [layer.trainable for layer in self._layers]
    try:
      for layer in self._layers:
        layer.trainable = False
      yield
    finally:
      for layer, trainable in zip(self._layers, own, strict=True):
        layer.trainable = trainable


def check(trainable):
  """The argument `trainable`: a regular expression or None, or raises."""
  if trainable is not None:
    groups.check_pattern("trainable", trainable)
  return trainable


def of(trainable, model, own):
  """The `Phase` of a fit.

  Args:
    trainable: a regular expression of the paths of what is trained, as for
      `groups`; None for all.
    model: the built keras.Model.
    own: the model's `Groups`, which may freeze for the whole run.

  Raises:
    ValueError: if it matches nothing that could be trained.
  """
  if trainable is None:
    return Phase(frozenset(own.frozen))
  names, places = groups.matches(trainable, model, "trainable")
  left = set(places) - own.frozen
  if not left:
    able = [one for i, one in enumerate(names) if i not in own.frozen]
    rule = f"a pattern of trainable variables, as {listed(able)}"
    reason = _frozen_by(own, names, places) or why(trainable, model)
    checks.fail("trainable", trainable, rule + reason)
  kept = {id(model.trainable_variables[i]) for i in places}
  layers = tuple(
    layer
    for layer in normalizations(model)
    if not any(id(v) in kept for v in layer.trainable_variables)
  )
  return Phase(frozenset(set(range(len(names))) - left), layers)


def normalizations(model):
  """The BatchNormalization layers of a keras.Model, a list."""
  return [
    layer
    for layer in model._flatten_layers()
    if isinstance(layer, keras.layers.BatchNormalization)
  ]


def _frozen_by(own, names, places):
  """Which groups freeze variables, and what to write instead; "" for none."""
  members = dict.fromkeys(own.of_place(i) for i in places if i in own.frozen)
  patterns = [f"groups[{member.pattern!r}]" for member in members]
  if not patterns:
    return ""
  text = f" ({listed(names[i] for i in places)} have lr=0 in "
  text += f"{', '.join(patterns)}: give a factor above 0 there, or a kernel of "
  return f"{text}factors, as kernels.PiecewiseConstant([100], [0.0, 1.0]))"
