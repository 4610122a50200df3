"""Parts of a model that have an optimizer each."""

import dataclasses
import typing

import keras

from kernels import checks
from trainloop.model import arguments, groups
from trainloop.model.frozen_weights import listed
from trainloop.model.scheduled_optimizer import LEARNING_RATE, Binding, own_rate


@dataclasses.dataclass(frozen=True)
class Part:
  """An optimizer for the variables of one part of a model.

  Args:
    optimizer: a Keras optimizer, its name, or a callable that makes one.
    variables: regular expression of their paths, as for `groups`; None for all
      below a layer of the part's name.
    every: the part moves in each so many-th update, int >= 1: 5 for the
      generator beside a critic that moves in each.

  Raises:
    ValueError: if a field breaks its rule.

  >>> trainloop.Part("adam", "generator/.*", every=0)
  Traceback (most recent call last):
    ...
  kernels.checks.ArgumentError: `every` must be an integer >= 1; got 0
  """

  optimizer: typing.Any
  variables: str | None = None
  every: int = 1

  def __post_init__(self):
    if self.variables is not None:
      groups.check_pattern("variables", self.variables)
    checks.integer("every", self.every, 1)


class Member(typing.NamedTuple):
  """A part with the variables of a model that are in it.

  Attributes:
    name: of the part, of its loss and of its rate.
    part: the `Part`.
    binding: its optimizer's `Binding`.
    places: positions of its variables among the trainable ones, ascending.
  """

  name: str
  part: Part
  binding: Binding
  places: tuple = ()

  @property
  def rate(self):
    """The name of its column of learning rates."""
    return rate_of(self.name)


def rate_of(name):
  """The name of a further part's column of learning rates."""
  return f"{LEARNING_RATE}/{name}"


@keras.saving.register_keras_serializable("trainloop")
class Optimizers(keras.optimizers.Optimizer):
  """Optimizers as one: the variables of all, and how many updates there were.

  Args:
    members: {name: Keras optimizer}, the first of which brings the rate.
    every: {name: int}, see `Part`.
  """

  def __init__(self, members, every):
    super().__init__(learning_rate=own_rate(next(iter(members.values()))))
    self._members, self._every = members, every

  @property
  def variables(self):
    """The Keras variables of all."""
    parts = self._members.values()
    return [self.iterations, *(v for one in parts for v in one.variables)]

  @property
  def text(self):
    """What they are, in words."""
    kinds = {name: type(one).__name__ for name, one in self._members.items()}
    return ", ".join(f"{name}: {kind}" for name, kind in kinds.items())

  def count(self):
    """Counts an update; in graph, as a replica."""
    self.iterations.assign_add(1)

  def get_config(self):
    """What they are, for comparing: without rates, and names that Keras gives
    by counting."""
    found = {"every": dict(self._every)}
    for name, one in self._members.items():
      own = {"kind": type(one).__name__, **one.get_config()}
      found[name] = {
        k: v for k, v in own.items() if k not in ("name", "learning_rate")
      }
    return found


def check(parts):
  """Refuses what is no {name: optimizer}, or one."""
  rule = "{name: optimizer or trainloop.Part}, of at least two"
  if len(parts) < 2:
    checks.fail("optimizer", parts, rule)
  for name in parts:
    if not isinstance(name, str) or not name.isidentifier() or name == "loss":
      checks.fail("optimizer", name, f"{rule}, with names of arguments")


def member(name, part):
  """The `Member` of what a user gives, without its variables."""
  if not isinstance(part, Part):
    part = Part(part)
  argument = f"optimizer[{name!r}]"
  made = arguments.optimizer(part.optimizer, argument)
  if not isinstance(made, keras.optimizers.Optimizer):
    rule = "a Keras optimizer, its name, a callable that makes one, or a Part"
    checks.fail(argument, made, rule)
  if made.use_ema:
    rule = "False with several optimizers: average=trainloop.EMA(...) is theirs"
    checks.fail(f"{argument}.use_ema", True, rule)
  return Member(name, part, Binding(made))


def placed(members, model):
  """The same members with the positions of their variables."""
  paths, _ = groups.matches("", model)
  owner, found = {}, []
  for one in members:
    pattern = one.part.variables or f"{one.name}/.*"
    argument = f"optimizer[{one.name!r}]"
    _, places = groups.matches(pattern, model, argument)
    if not places:
      rule = f"patterns of trainable variables, as {listed(paths)}: Part(..., "
      rule += "variables='...')"
      checks.fail(argument, pattern, rule)
    for i in places:
      if i in owner:
        rule = f"one optimizer a variable; {owner[i]!r} has {paths[i]}, too"
        checks.fail(argument, pattern, rule)
      owner[i] = one.name
    found.append(one._replace(places=places))
  left = [path for i, path in enumerate(paths) if i not in owner]
  if left:
    rule = f"optimizers for all variables; none has {listed(left)}"
    checks.fail("optimizer", [one.name for one in found], rule)
  return found
