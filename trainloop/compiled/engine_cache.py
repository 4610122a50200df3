"""The engines of a loop: chosen once for each kind of data that comes."""

from trainloop.compiled import engine_choice
from trainloop.compiled.evaluation import Evaluation


class Engines:
  """The engine of each kind of data; the same kind gets the same one always.

  Two kinds differ where XLA can compile the one and not the other: arrays and
  datasets whose batches have one shape, against all others.

  Args:
    compile: see `engine_choice.choose`.
    strategy: the model's `tf.distribute.Strategy`.
    replica: the model's `Replica`.
    ops: names of the ops of the model's first call, a set.

  Attributes:
    present: the `Engine` of the training data that came last.
    evaluation: its `Evaluation`; None before the first data, as `present`.
    measures: whether which is faster is still to be measured.
  """

  def __init__(self, compile, strategy, replica, ops):
    self._compile, self._strategy, self._replica = compile, strategy, replica
    self._ops = ops
    self._chosen, self._evaluations, self._kind = {}, {}, None
    self.present = self.evaluation = None
    self.measures = compile == "measure"

  def choose(self, source):
    """Makes `present` the `Engine` for a source of training data.

    Raises:
      ValueError: if "xla" is asked for where it can't run.
    """
    self._kind = engine_choice.obstacle(self._strategy, source)
    if self._kind not in self._chosen:
      self._chosen[self._kind] = engine_choice.choose(
        self._compile, self._strategy, source, self._ops
      )
    self.replace(self._chosen[self._kind])

  def replace(self, other):
    """Compiles with another `Engine` from now on, for data of this kind."""
    self.present = self._chosen[self._kind] = other
    if other.name not in self._evaluations:
      jit = other.name == "xla"
      evaluation = Evaluation(self._strategy, self._replica, jit)
      self._evaluations[other.name] = evaluation
    self.evaluation = self._evaluations[other.name]

  def settle(self, winner):
    """Compiles with the `Engine` that was measured to be faster."""
    self.measures = False
    self.replace(winner)

  def give_way(self, why):
    """Compiles with the graph from now on, as XLA can't run the window.

    Args:
      why: a few words.

    Raises:
      ValueError: if XLA was asked for.
    """
    self.replace(engine_choice.without_xla(self._compile, why))
