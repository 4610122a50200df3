"""What stands in for a Keras optimizer's steps where there are groups.

Keras gives one learning rate to all variables: to `update_step`, and to the
decoupled decay, which reads `optimizer.learning_rate`. In the place of both
stand functions that do the same a group, with the group's own numbers.
"""

import contextlib

import keras
import tensorflow as tf

_ASSIGNS = ("assign", "assign_add", "assign_sub")
_STEPS = ("update_step", "_apply_weight_decay")
_ADAMS = "adam_weight_decay"  # Muon's, of what it trains by AdamW


@contextlib.contextmanager
def of(optimizer, groups, variables, values):
  """Has an optimizer do its steps a group, where there are groups; traced.

  Args:
    optimizer, groups, variables, values: see `_GroupSteps`.
  """
  if not groups.members:
    yield
    return
  own = vars(optimizer)
  before = {name: own[name] for name in _STEPS if name in own}
  steps = _GroupSteps(optimizer, groups, variables, values)
  own["update_step"] = steps.update_step
  own["_apply_weight_decay"] = steps.apply_weight_decay
  try:
    yield
  finally:
    for name in _STEPS:
      own.pop(name)
    own.update(before)


class _GroupSteps:
  """The stand-ins of one update; traced.

  Args:
    optimizer: a Keras optimizer.
    groups: the model's `Groups`.
    variables: the model's trainable keras.Variables, whose order they have.
    values: {name: float32 scalar} of the update, factors among them.
  """

  def __init__(self, optimizer, groups, variables, values):
    self._optimizer = optimizer
    self._groups = groups
    # Private: the key by which Keras finds a variable's slots, also where a
    # strategy hands a replica's part of it to the steps.
    self._places = {optimizer._var_key(v): i for i, v in enumerate(variables)}
    self._factors = values
    self._values = {**values, **groups.values(values)}
    self._update_step = optimizer.update_step
    self._decay = optimizer._apply_weight_decay

  def update_step(self, gradient, variable, learning_rate):
    """In the place of `optimizer.update_step`."""
    member = self._member(variable)
    if member is None:
      self._update_step(gradient, variable, learning_rate)
      return
    rate = self._values[member.rate]
    if not member.group.may_freeze:
      self._update_step(gradient, variable, rate)
      return
    with self._only_if(self._factors[member.rate] != 0):
      self._update_step(gradient, variable, rate)

  def apply_weight_decay(self, variables):
    """In the place of `optimizer._apply_weight_decay`."""
    for member in (None, *self._groups.members):
      own = [v for v in variables if self._member(v) is member]
      if own:
        with self._decay_of(member):
          self._decay(own)

  @contextlib.contextmanager
  def _decay_of(self, member):
    """Has the optimizer hold a group's rate and decay."""
    own = vars(self._optimizer)
    names = [n for n in ("_learning_rate", "weight_decay", _ADAMS) if n in own]
    before = {name: own[name] for name in names}
    if member is not None:
      group_rate = self._values[member.rate]
      own["_learning_rate"] = lambda: group_rate
      if member.decay is not None and before["weight_decay"] is not None:
        own["weight_decay"] = self._values[member.decay]
      if member.decay is not None and before.get(_ADAMS) is not None:
        own[_ADAMS] = before[_ADAMS] * self._factors[member.decay]
    try:
      yield
    finally:
      own.update(before)

  @contextlib.contextmanager
  def _only_if(self, active):
    """Has the optimizer's assignments leave all as it is unless `active`."""
    own = vars(self._optimizer)

    def put(variable, value):
      variable = _tensorflow(variable)
      old = variable.read_value()
      variable.assign(tf.where(active, tf.cast(value, variable.dtype), old))

    def add(variable, value, sign=1):
      old = _tensorflow(variable).read_value()
      put(variable, old + sign * tf.cast(value, old.dtype))

    own["assign"], own["assign_add"] = put, add
    own["assign_sub"] = lambda variable, value: add(variable, value, -1)
    try:
      yield
    finally:
      for name in _ASSIGNS:
        own.pop(name)

  def _member(self, variable):
    """The `Member` that a variable is in, or None."""
    return self._groups.of_place(
      self._places[self._optimizer._var_key(variable)]
    )


def _tensorflow(variable):
  """The tf.Variable that a variable is, or has."""
  is_keras = isinstance(variable, keras.Variable)
  return variable.value if is_keras else variable
