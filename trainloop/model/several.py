"""Several optimizers, each for its own part of a model and its own loss."""

import tensorflow as tf

import kernels
from kernels import checks
from trainloop.model import arguments, optimizer_parts
from trainloop.model.losses import Losses
from trainloop.model.rows import Layout
from trainloop.model.schedule_free import ScheduleFree
from trainloop.model.scheduled_optimizer import LEARNING_RATE, Binding, own_rate


class SeveralBinding:
  """As `Binding`, for several optimizers.

  Args:
    parts: {name: `Part`, or an optimizer for the layer of that name}.
    bias_correction: see `Binding`; only "keras".

  Attributes:
    optimizer: the `Optimizers`.
    groups, layout: see `Binding`.
    losses: the `Losses`; None before `bind`.
    exact: False.

  Raises:
    ValueError: if a part can't be, or brings what the loop can't run.
  """

  exact = False

  def __init__(self, parts, bias_correction="keras"):
    optimizer_parts.check(parts)
    if bias_correction != "keras":
      rule = "'keras' with several optimizers"
      checks.fail("bias_correction", bias_correction, rule)
    self._members = [
      optimizer_parts.member(name, one) for name, one in parts.items()
    ]
    made = {m.name: m.binding.optimizer for m in self._members}
    every = {m.name: m.part.every for m in self._members}
    self.optimizer = optimizer_parts.Optimizers(made, every)
    self.groups = self.layout = self.losses = None

  @property
  def names(self):
    """Names of the optimizers, in order."""
    return tuple(member.name for member in self._members)

  @property
  def model_optimizer(self):
    """The one that the model is compiled and saved with: the first."""
    return self._members[0].binding.optimizer

  @property
  def momentum(self):
    """The first one's own coefficient as a float; None if it has none."""
    return self._members[0].binding.momentum

  @property
  def own_rates(self):
    """{column: kernel} of the rates that further optimizers bring."""
    found = {}
    for member in self._members[1:]:
      rate = own_rate(member.binding.optimizer)
      is_number = isinstance(rate, float)
      make = kernels.Constant if is_number else kernels.from_keras
      found[member.rate] = make(rate)
    return found

  def check_names(self, names):
    """Refuses hyperparameters beside rates; see `Binding.check_names`."""
    rates = [member.rate for member in self._members[1:]]
    for name in names:
      if name not in rates:
        rule = "an argument of `step` with several optimizers, whose rates "
        rule += "`schedule={name: kernel}` moves"
        checks.fail("schedules", name, rule)

  def bind(self, schedules, groups, model, names):
    """See `Binding.bind`; finds the variables of each part.

    Raises:
      ValueError: if a pattern matches none, two the same, or one is left.
    """
    if groups.members:
      rule = "None with several optimizers, which have rates of their own"
      checks.fail("groups", [m.pattern for m in groups.members], rule)
    self._members = optimizer_parts.placed(self._members, model)
    for member in self._members:
      member.binding.bind({}, groups)
    self.groups, self.losses = groups, Losses()
    if len(names) > 1:
      self.losses = Losses({m.name: m.places for m in self._members})
    self.layout = Layout((*schedules, *self.losses.columns))

  def prepare(self, variables, scheduled_momentum):
    """See `Binding.prepare`."""
    if scheduled_momentum is not None:
      rule = "one that leaves momentum alone, with several optimizers"
      checks.fail("schedule", "a scheduled momentum", rule)
    for member in self._members:
      member.binding.prepare([variables[i] for i in member.places], None)
    if not self.optimizer.built:
      self.optimizer.build(variables)

  def active(self, values):
    """{position of a variable: whether it moves in the coming update}, of
    those that do not in each; in graph."""
    del values
    return {
      i: self._is_due(member)
      for member in self._members
      if member.part.every > 1
      for i in member.places
    }

  def apply(
    self, strategy, gradients, variables, values, frozen, correction=None
  ):
    """See `Binding.apply`: each with its own rate, where it is due."""
    del correction
    for member in self._members:
      own = {LEARNING_RATE: values.get(member.rate, values[LEARNING_RATE])}
      places = [i for i in member.places if i not in frozen]
      if places:
        self._apply(member, strategy, gradients, variables, places, own)
    strategy.run(self.optimizer.count)

  def _apply(self, member, strategy, gradients, variables, places, values):
    parts = [[every[i] for i in places] for every in (gradients, variables)]

    def go():
      member.binding.apply(strategy, *parts, values, ())
      return True

    if member.part.every == 1:
      go()
    else:
      tf.cond(self._is_due(member), go, lambda: True)

  def _is_due(self, member):
    count = self.optimizer.iterations.value + 1
    return tf.equal(count % member.part.every, 0)

  def leave(self, values):
    """See `Binding.leave`."""
    for member in self._members:
      rate = values.get(member.rate, values[LEARNING_RATE])
      member.binding.leave({LEARNING_RATE: rate})


def bound(optimizer, bias_correction):
  """The `Binding` of an optimizer, or the `SeveralBinding` of a dict of them;
  called under the strategy's scope."""
  if isinstance(optimizer, dict):
    return SeveralBinding(optimizer, bias_correction)
  return Binding(arguments.optimizer(optimizer), bias_correction)


def losses_of(binding, step):
  """Names of the losses that a user's `step` gives; one for all without."""
  return ("loss",) if step is None else binding.names or ("loss",)


def check_reach(binding, objective):
  """Refuses a loss that no variable of its optimizer changes.

  Args:
    binding: a bound `Binding` or `SeveralBinding`.
    objective: the built `Objective`.
  """
  for name, places in (binding.losses.targets or {}).items():
    if not objective.reach[name].intersection(places):
      rule = f"with a loss {name!r} that the variables of that optimizer change"
      checks.fail("step", name, rule)


def check_options(binding, options):
  """Refuses what several optimizers do not go with.

  Args:
    binding: a `Binding` or `SeveralBinding`.
    options: the `TraineeOptions`.

  Raises:
    ValueError: for micro-batches beside several losses, or `ScheduleFree`.
  """
  if binding.names and isinstance(options.average, ScheduleFree):
    rule = "an EMA, a CycleAverage or None with several optimizers"
    checks.fail("average", options.average, rule)
  several = len(losses_of(binding, options.goal.step)) > 1
  if several and options.numerics.accumulate > 1:
    rule = "1 with several losses"
    checks.fail("accumulate", options.numerics.accumulate, rule)
