"""What data a trainee takes: shapes of its first call, values in range."""

from trainloop.model import arguments
from trainloop.model.first_call import FirstCall
from trainloop.model.objective import Compiled
from trainloop.model.ranges import Ranges


class Intake:
  """Says of a data source whether a model can be trained or measured on it.

  Args:
    model: a compiled keras.Model.
    strategy: the strategy it was made under.
    objective: its `Compiled` or `PerExample`.
    loss: the loss as the user gave it: one, or one an output.
    accumulate: micro-batches of an update.
  """

  def __init__(self, model, strategy, objective, loss, accumulate):
    self._model, self._objective, self._loss = model, objective, loss
    self._first_call = FirstCall(model, strategy, objective, accumulate)
    self._source = self._ranges = None

  def build(self, source):
    """Builds an unbuilt model and its metrics on the first batch.

    Args:
      source: the first data source that comes.

    Raises:
      ValueError: if the model can't be trained on the batch.
    """
    self._source, call = source, self._first_call
    call.build(source, self._loss)
    model, objective = self._model, self._objective
    self._ranges = Ranges(objective, model, self._loss, call.output)

  @property
  def batch(self):
    """(x, y, sample_weight) tensors of the first data, as the model is called
    with them."""
    return self._first_call.batch

  @property
  def ops(self):
    """Names of the ops of the model's first call, a set."""
    return self._first_call.ops

  @property
  def range_checks(self):
    """The `RangeChecks` over ids and labels."""
    return self._ranges.range_checks

  def check(self, name, source, evaluates=False):
    """Refuses data that does not fit.

    Args:
      name: "data" or "validation".
      source: a data source.
      evaluates: whether it is for an evaluation, in which each example counts.

    Raises:
      ValueError: in one line.
    """
    if evaluates and isinstance(self._objective, Compiled):
      arguments.check_evaluation(self._model)
    self._first_call.check_sizes(name, source, evaluates)
    if source is not self._source:
      self._first_call.check(name, source, self._loss)
    self._ranges.check(name, source)

  def refusal(self, batch):
    """Why the model does not take a batch, tensors; "" if it does."""
    return self._first_call.refusal(batch)

  def watched(self, source):
    """Whether a source's batches must be looked at in graph."""
    return self._ranges.watched(source)

  def show_cautions(self, show):
    """Gives each line about data and model that is new to `show`."""
    self._ranges.show_cautions(show)
