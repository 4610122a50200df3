"""What a model is trained for, as a user says it; the objective it makes."""

import dataclasses
import inspect
import typing

import tensorflow as tf

from kernels import callables, checks
from trainloop.model import step_values
from trainloop.model.objective import Compiled
from trainloop.model.per_example import PerExample


@dataclasses.dataclass(frozen=True)
class Goal:
  """What a model is trained for: arguments of `TrainLoop`, as there.

  Attributes:
    values: names of the arguments that `step` has besides its four.

  Raises:
    ValueError: for functions of other arguments, or what a `step` would
      ignore.
  """

  loss: typing.Any = None
  metrics: typing.Any = None
  loss_weights: typing.Any = None
  step: typing.Any = None
  values: tuple = ()
  weighted_metrics: typing.Any = None

  def __post_init__(self):
    names = ("loss", "metrics", "loss_weights", "weighted_metrics")
    beside = {name: getattr(self, name) for name in names}
    _check_functions(**beside)
    if self.step is None:
      return
    names = ", ".join(("model, x, y, training", *self.values))
    rule = f"a function of ({names}), or None"
    rule += "" if self.values else "; more are by schedules={name: kernel}"
    more = dict.fromkeys(self.values, 0.0)
    callables.check(
      "step", self.step, None, None, None, False, rule=rule, **more
    )
    step_values.metrics_of(self.metrics)
    for name, value in beside.items():
      if value is not None and name != "metrics":
        checks.fail(name, value, "None with a `step`, which gives what counts")


def of(model, goal, given, losses):
  """The objective of a model: its compiled one, or a user's `step`.

  Args:
    model, given, losses: see `PerExample`.
    goal: the `Goal`.
  """
  if goal.step is None:
    return Compiled(model)
  measured = step_values.metrics_of(goal.metrics)
  return PerExample(model, goal.step, given, losses, measured)


def _check_functions(loss, loss_weights, **metrics):
  """Refuses functions of other arguments, and weights that are no numbers."""
  for name, value in metrics.items():
    if value is not None and not isinstance(value, (list, tuple, dict)):
      shown = f"[{value!r}]" if isinstance(value, str) else "[...]"
      checks.fail(name, value, f"a list, as {name}={shown}")
  for name, value in (("loss", loss), *metrics.items()):
    for one in tf.nest.flatten(value):
      if inspect.isroutine(one):
        rule = "a function of (y_true, y_pred)"
        callables.check(name, one, None, None, rule=rule)
  for one in tf.nest.flatten(loss_weights):
    if one is not None and not checks.is_finite(one):
      rule = "a finite number, or a list or dict of them"
      checks.fail("loss_weights", loss_weights, rule)
