"""Binds tensors of hyperparameters to a Keras optimizer."""

import contextlib
import math
import types

import keras

from kernels import checks
from kernels.combined import MOMENTUM
from trainloop.model import bias_correction as exact
from trainloop.model import group_steps
from trainloop.model.losses import Losses
from trainloop.model.rows import Layout
from trainloop.model.tensor_numbers import TensorNumber

LEARNING_RATE = "learning_rate"

# The attribute that holds the momentum coefficient. SGD and RMSprop ask
# `momentum != 0` or `> 0` in Python; the others only compute with theirs.
_VELOCITY = ("SGD", "RMSprop")
_BETA = ("Adam", "AdamW", "Nadam", "Adamax", "Lion", "Lamb")
_ABLE = (*_VELOCITY, "Muon", *_BETA)
# Their learning rate is not one number that a schedule could drive.
REFUSED = ("LossScaleOptimizer", "MultiOptimizer", "ScheduleFreeAdamW")
_MOMENTUM_ATTRIBUTE = {
  **dict.fromkeys((*_VELOCITY, "Muon"), "momentum"),
  **dict.fromkeys(_BETA, "beta_1"),
}
# Keras clips to one of them, and asks in Python which.
_CLIPS = ("clipnorm", "global_clipnorm", "clipvalue")
_FURTHER = ("weight_decay", "beta_2", "rho", *_CLIPS)
KNOWN = (MOMENTUM, *_FURTHER)  # of some optimizer


class Binding:
  """One optimizer, and how a scheduled rate and momentum reach it.

  Args:
    optimizer: a Keras optimizer.
    bias_correction: "keras" or "exact"; see that module.

  Attributes:
    groups: the `Groups` of the model's variables; None before `bind`.
    layout: the `Layout` of the rows of its updates; None before `bind`.
    exact: whether that is "exact", and `apply` needs a correction.

  Raises:
    ValueError: if the optimizer is none, or brings what the loop can't run.
  """

  def __init__(self, optimizer, bias_correction="keras"):
    if not isinstance(optimizer, keras.optimizers.Optimizer):
      kind = type(optimizer).__name__
      checks.fail("optimizer", kind, "a Keras optimizer or its string name")
    _refuse(optimizer)
    self.optimizer = optimizer
    self.groups = self.layout = None
    kinds = [kind.__name__ for kind in type(optimizer).__mro__]
    names = [_MOMENTUM_ATTRIBUTE[k] for k in kinds if k in _MOMENTUM_ATTRIBUTE]
    self._moves = bool(names)  # whether a schedule can move it
    self._compares_momentum = any(kind in _VELOCITY for kind in kinds)
    self._attribute = names[0] if names else _constant(optimizer)
    if self.momentum is not None and not math.isfinite(self.momentum):
      name = f"optimizer.{self._attribute}"
      checks.fail(name, self.momentum, "a finite number")
    self.exact = exact.is_exact(bias_correction, optimizer)

  @property
  def model_optimizer(self):
    """The one that the model is compiled and saved with."""
    return self.optimizer

  @property
  def momentum(self):
    """The optimizer's own coefficient as a float; None if it has none."""
    if self._attribute is None:
      return None
    return float(getattr(self.optimizer, self._attribute))

  def prepare(self, variables, scheduled_momentum):
    """Builds the optimizer's slots; call under the strategy's scope.

    Args:
      variables: the model's trainable variables.
      scheduled_momentum: the schedule's momentum at step 0 as a float, or
        None if the schedule leaves momentum alone.

    Raises:
      ValueError: if the schedule moves a momentum the optimizer hasn't got,
        or it was built for other variables.
    """
    kind = type(self.optimizer).__name__
    if scheduled_momentum is not None and not self._moves:
      able = ", ".join(_ABLE)
      rule = f"an optimizer with momentum ({able}) for this schedule"
      checks.fail("optimizer", kind, rule)
    lacks_slots = self._compares_momentum and not self.momentum
    if scheduled_momentum is not None and lacks_slots:
      if self.optimizer.built:
        rule = "built with a momentum > 0, to have slots for a scheduled one"
        checks.fail("optimizer", f"{kind}(momentum=0.0)", rule)
      # Any non-zero coefficient makes Keras create the slots.
      self.optimizer.momentum = scheduled_momentum or 0.9
    if not self.optimizer.built:
      self.optimizer.build(variables)
    # Private: nothing public says whose slots it has. `test_compile_state.py`
    # notices if it moves.
    known = {id(one) for one in self.optimizer._trainable_variables}
    if not known.issuperset(map(id, variables)):
      rule = "one that has no slots yet for other weights: give each model its "
      checks.fail("optimizer", kind, f"{rule}own")

  names = ()  # of several optimizers
  own_rates = types.MappingProxyType({})  # those of further optimizers
  losses = Losses()  # there is one

  def active(self, values):
    """{position of a variable: whether it moves in the coming update}, of
    those that may not; in graph. See `Groups.active`."""
    return self.groups.active(values)

  def bind(self, schedules, groups, model=None, names=("loss",)):
    """Takes what else moves, once the model is built.

    Args:
      schedules: {name: kernel} of hyperparameters beside the schedule.
      groups: the model's `Groups`.
      model, names: the model, and names of the losses; see `several`.
    """
    del model, names
    further = [name for name in schedules if name != MOMENTUM]
    self.groups = groups
    # Sorted: a run is the same in whatever order they are given.
    self.layout = Layout((*sorted(further), *sorted(groups.factors)))

  def check_names(self, names):
    """Refuses hyperparameters that no kernel can move in this optimizer.

    Args:
      names: of them; none is a user's own.

    Raises:
      ValueError: naming one, and those that can be moved.
    """
    kind = type(self.optimizer).__name__
    able = [MOMENTUM] if self._moves else []
    able += [n for n in _FURTHER if hasattr(self.optimizer, n)]
    for name in names:
      argument = f"schedules[{name!r}]"
      if name not in able:
        rule = f"one of {', '.join(able)} for {kind}, or a name that `step` has"
        checks.fail(argument, name, f"{rule} as an argument")
      others = [n for n in _CLIPS if n != name and n in (*names, *self._clips)]
      if name in _CLIPS and others:
        rule = f"the only clipping of {kind}, which has {others[0]}, too"
        checks.fail(argument, name, rule)

  @property
  def _clips(self):
    """Names of the norms or values that the optimizer itself clips to."""
    return [n for n in _CLIPS if getattr(self.optimizer, n, None)]

  def apply(
    self, strategy, gradients, variables, values, frozen, correction=None
  ):
    """The optimizer's update with these values; traced, cross-replica.

    Args:
      strategy: the `tf.distribute.Strategy`.
      gradients: one per-replica gradient a variable, already summed over the
        replicas; None where there is none.
      variables: the trainable variables.
      values: {name: float32 scalar tensor} of the hyperparameters that the
        optimizer does not hold itself; the learning rate always.
      frozen: positions of variables that stay as they are.
      correction: what `bias_correction.factor` gave, or None.
    """
    # Replicas trace one after another: what they read is set around them all.
    with (
      self._set(strategy, values, correction),
      group_steps.of(self.optimizer, self.groups, variables, values),
    ):
      moved = [i for i in range(len(variables)) if i not in frozen]
      parts = [[every[i] for i in moved] for every in (gradients, variables)]
      strategy.run(self.optimizer.apply, args=tuple(parts))

  def leave(self, values):
    """Leaves the rate of an update in the optimizer, where it can be seen; in
    graph.

    Args:
      values: see `apply`.
    """
    if isinstance(self.optimizer._learning_rate, keras.Variable):
      self.optimizer._learning_rate.value.assign(values[LEARNING_RATE])

  @contextlib.contextmanager
  def _set(self, strategy, values, correction):
    """Puts tensors where `optimizer.apply` reads them; then puts all back."""
    optimizer, own = self.optimizer, self._numbers(values)
    before = {name: getattr(optimizer, name) for name in own}
    # Not through the public property: its setter would drop the variable that
    # a checkpoint holds, and its getter would evaluate a schedule. Assigning
    # the variable an update would carry it around the loop.
    rate = vars(optimizer)["_learning_rate"]
    vars(optimizer)["_learning_rate"] = lambda: values[LEARNING_RATE]
    for name, value in own.items():
      setattr(optimizer, name, value)
    if strategy.num_replicas_in_sync > 1:
      # Keras would sum over the replicas again, after clipping each one's
      # part; nothing public says that gradients are summed already.
      optimizer._all_reduce_sum_gradients = list
    if correction is not None:
      optimizer.update_step = exact.corrected(optimizer, correction)
    try:
      yield
    finally:
      vars(optimizer)["_learning_rate"] = rate
      for name in ("_all_reduce_sum_gradients", "update_step"):
        vars(optimizer).pop(name, None)
      for name, value in before.items():
        setattr(optimizer, name, value)

  def _numbers(self, values):
    """{attribute: what stands in for the optimizer's number} of an update."""
    compared = (*_CLIPS, *([MOMENTUM] if self._compares_momentum else []))
    numbers = {}
    for name, value in values.items():
      if name == MOMENTUM or name in _FURTHER:
        stand_in = TensorNumber(value) if name in compared else value
        numbers[self._attribute if name == MOMENTUM else name] = stand_in
    return numbers


def _constant(optimizer):
  """The attribute of another optimizer that holds its momentum; None if none
  does."""
  for name in ("momentum", "beta_1"):
    if isinstance(getattr(optimizer, name, None), (int, float)):
      return name
  return None


def own_rate(optimizer):
  """What the optimizer itself brings as a learning rate.

  Args:
    optimizer: a Keras optimizer.

  Returns:
    A float, or the Keras `LearningRateSchedule` it was made with.

  Raises:
    ValueError: if its learning rate is another callable.
  """
  brought = optimizer._learning_rate  # the property would evaluate a schedule
  if isinstance(brought, keras.optimizers.schedules.LearningRateSchedule):
    return brought
  if isinstance(brought, keras.Variable):
    return float(brought.numpy())
  rule = "a number or a LearningRateSchedule where `schedule` is None"
  return checks.fail("optimizer.learning_rate", brought, rule)


def _refuse(optimizer):
  """What can't work is refused by name."""
  kind = type(optimizer).__name__
  if kind in REFUSED:
    rule = "a plain optimizer, whose one learning rate a schedule can drive"
    if kind == "MultiOptimizer":
      rule = "a dict {name: trainloop.Part(optimizer, variables='pattern')}"
    checks.fail("optimizer", kind, rule)
  steps = optimizer.gradient_accumulation_steps
  if steps:
    rule = "None: Keras would count micro-batches as updates"
    checks.fail("optimizer.gradient_accumulation_steps", steps, rule)
  if optimizer.loss_scale_factor is not None:
    scale = optimizer.loss_scale_factor
    if not math.isfinite(scale) or scale <= 0:
      checks.fail("optimizer.loss_scale_factor", scale, "finite and > 0")
