"""Parameter groups: factors on the learning rate and decay of some variables.

A group's rate is the base rate times its factor, both float32. Keras' decoupled
weight decay is multiplied by the rate that it reads, and so by the group's.
"""

import dataclasses
import math
import re
import typing

import kernels
from kernels import callables, checks
from trainloop.model import variable_names
from trainloop.model.frozen_weights import listed, why
from trainloop.model.scheduled_optimizer import LEARNING_RATE

DECAY = "weight_decay"


@dataclasses.dataclass(frozen=True)
class Group:
  """What the hyperparameters of some variables are multiplied by.

  Attributes:
    lr: factor on the learning rate, finite, >= 0, or a `kernels.Schedule` that
      gives it as its learning rate. 0 freezes: neither the variables nor their
      slots move, and their gradients count in no norm. As a number it also
      spares their gradients.
    weight_decay: likewise, on the weight decay, which the factor on the rate
      reaches, too.

  Raises:
    ValueError: if a factor is something else.
  """

  lr: typing.Any = 1.0
  weight_decay: typing.Any = 1.0

  def __post_init__(self):
    for name in ("lr", "weight_decay"):
      value = getattr(self, name)
      if isinstance(value, kernels.Schedule):
        if value.moves_momentum:
          rule = "a kernel that leaves momentum alone: its rate is the factor"
          checks.fail(name, type(value).__name__, rule)
        continue
      rule = "a finite factor >= 0, or a kernels.Schedule that gives it"
      value = checks.number(name, value, rule, lambda v: v >= 0)
      object.__setattr__(self, name, value)

  @property
  def freezes(self):
    """Whether it freezes its variables for a whole run."""
    return not isinstance(self.lr, kernels.Schedule) and self.lr == 0

  @property
  def may_freeze(self):
    """Whether it may freeze them for a while."""
    return isinstance(self.lr, kernels.Schedule)


class Member(typing.NamedTuple):
  """A group with the variables of a model that are in it.

  Attributes:
    pattern: the regular expression, which is the group's name.
    group: the `Group`.
    places: their positions among the trainable variables, ascending.
  """

  pattern: str
  group: Group
  places: tuple

  @property
  def rate(self):
    """The name of its factor on the rate, and of its rate in a row."""
    return f"{LEARNING_RATE}/{self.pattern}"

  @property
  def decay(self):
    """The same of its weight decay; None where that has no factor."""
    return None if self.group.weight_decay == 1 else f"{DECAY}/{self.pattern}"


class Groups:
  """The parameter groups of a model.

  Args:
    groups: {pattern: `Group`}, or a function of the model that gives it; see
      `check`. A variable is in the group whose pattern its
      whole path below the model matches (`re.fullmatch`), as "dense/kernel". A
      pattern that matches none is looked for among whole paths, and then among
      the names in a checkpoint, where layers are counted anew in each model.
    model: the built keras.Model.
    decay: the optimizer's weight decay, where no kernel gives it; or None.

  Attributes:
    members: the groups with their variables, a tuple of `Member`.

  Raises:
    ValueError: if a pattern matches no variable, two match the same, or no
      variable is left to train.
  """

  def __init__(self, groups, model, decay=None):
    if callable(groups):
      groups = check(groups(model))
    self._own_decay, owner, members = decay or 0.0, {}, []
    for pattern, group in groups.items():
      names, places = matches(pattern, model)
      if not places:
        rule = f"patterns of trainable variables, as {listed(names)}"
        checks.fail("groups", pattern, rule + why(pattern, model))
      for i in places:
        if i in owner:
          rule = f"one group a variable; {owner[i]!r} has {names[i]}, too"
          checks.fail("groups", pattern, rule)
        owner[i] = pattern
      members.append(Member(pattern, group, places))
    self.members = tuple(members)
    if len(self.frozen) == len(model.trainable_variables):
      rule = "groups that leave a variable to train (lr=0 freezes)"
      checks.fail("groups", list(groups), rule)

  @property
  def frozen(self):
    """Positions of the variables that are frozen for the whole run."""
    return {i for m in self.members if m.group.freezes for i in m.places}

  @property
  def factors(self):
    """{name: kernel} of all factors."""
    found = {}
    for member in self.members:
      found[member.rate] = _kernel(member.group.lr)
      if member.decay is not None:
        found[member.decay] = _kernel(member.group.weight_decay)
    return found

  def of_place(self, place):
    """The `Member` that a variable is in, by its position; or None."""
    return next((m for m in self.members if place in m.places), None)

  def active(self, given):
    """{position of a variable: bool scalar, whether it moves in an update} of
    those that a kernel may freeze; in graph.

    Args:
      given: {name: float32 scalar} of the update, factors among them.
    """
    return {
      i: given[m.rate] != 0
      for m in self.members
      if m.group.may_freeze
      for i in m.places
    }

  def values(self, given):
    """What groups have in a row: {name: base times factor}.

    Args:
      given: {name: float32 tensor or array} of updates, with the rate and the
        factors.
    """
    decay = given.get(DECAY, self._own_decay)
    bases = {m.rate: given[LEARNING_RATE] for m in self.members}
    bases |= {m.decay: decay for m in self.members if m.decay is not None}
    return {name: base * given[name] for name, base in bases.items()}

  def table(self, variables):
    """Pattern, factors, variables and parameters of each group, as texts.

    Args:
      variables: the model's trainable variables.

    Returns:
      A list of tuples; the first is the head.
    """
    rows = [("group", "lr x", "weight decay x", "variables", "parameters")]
    for member in self.members:
      size = sum(math.prod(variables[i].shape) for i in member.places)
      factors = [_text(member.group.lr), _text(member.group.weight_decay)]
      counts = [str(len(member.places)), f"{size:,}"]
      rows.append((member.pattern, *factors, *counts))
    return rows if self.members else []


def check(groups):
  """The argument `groups`: a dict, or a function of the model that gives one;
  {} for None.

  Raises:
    ValueError: if it is no dict of `Group` by regular expression.
  """
  if groups is None:
    return {}
  rule = "a dict {regular expression: trainloop.Group(...)}, a function of "
  rule += "the model that gives one, or None"
  if callable(groups):
    callables.check("groups", groups, None, rule=rule)
    return groups
  if not isinstance(groups, dict):
    checks.fail("groups", type(groups).__name__, rule)
  for pattern, group in groups.items():
    check_pattern("groups", pattern)
    if not isinstance(group, Group):
      rule = "a trainloop.Group, as Group(lr=0.1, weight_decay=0.0)"
      checks.fail(f"groups[{pattern!r}]", group, rule)
  return dict(groups)


def check_pattern(name, pattern):
  """Refuses what is no regular expression, for an argument of some name."""
  rule = "a regular expression of variables' paths"
  checks.text(name, pattern, rule)
  try:
    re.compile(pattern)
  except re.error as error:
    checks.fail(name, pattern, f"{rule} ({error})")


def matches(pattern, model, argument=None):
  """(paths of a model's trainable variables, positions of those that a pattern
  matches); see `Groups`.

  Args:
    pattern: regular expression.
    model: the built keras.Model.
    argument: whose pattern it is, where one that means something else by the
      names in a checkpoint is refused.

  Raises:
    ValueError: for such a pattern.
  """
  names = spellings(model)
  looked = [_matches(pattern, every) for every in names]
  places = next(filter(None, looked), ())
  if argument and looked[-1] and looked[-1] != places:
    one, other = (listed(names[0][i] for i in p) for p in (places, looked[-1]))
    rule = f"a pattern of one meaning, but it is {one} by Keras' count of "
    rule += f"layers and {other} by the model's own: give layers a `name`"
    checks.fail(argument, pattern, rule)
  return names[0], places


def spellings(model):
  """Names of a built model's trainable variables, in the order in which
  patterns are looked for: paths without the model's own name, whole paths,
  names in a checkpoint, which count the model's layers alone; three lists."""
  own, variables = f"{model.name}/", model.trainable_variables
  named = zip(model.variables, variable_names.of_weights(model), strict=True)
  counted = {id(v): name for v, name in named}
  return (
    [v.path.removeprefix(own) for v in variables],
    [v.path for v in variables],
    [counted[id(v)] for v in variables],
  )


def _matches(pattern, names):
  """Positions of the names that a pattern matches, a tuple."""
  return tuple(i for i, one in enumerate(names) if re.fullmatch(pattern, one))


def _kernel(factor):
  if isinstance(factor, kernels.Schedule):
    return factor
  return kernels.Constant(factor)


def _text(factor):
  return repr(factor) if isinstance(factor, kernels.Schedule) else f"{factor:g}"
