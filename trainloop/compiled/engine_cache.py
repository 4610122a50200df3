"""The engines of a loop: chosen once for each kind of data that comes."""

from trainloop.base import seeds
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

  Attributes:
    present: the `Engine` of the training data that came last.
    evaluation: its `Evaluation`; None before the first data, as `present`.
    measures: whether which is faster is still to be measured.
  """

  def __init__(self, compile, strategy, replica):
    self._compile, self._strategy, self._replica = compile, strategy, replica
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
      # TensorFlow draws a number only to learn a device's name.
      with seeds.preserved():
        choice = engine_choice.choose(
          self._compile, self._strategy, source, self._replica
        )
      self._chosen[self._kind] = choice
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

  def with_optimizer(self, binding):
    """Chooses again, now that the optimizer has its slots.

    Args:
      binding: see `engine_choice.with_optimizer`.
    """
    with seeds.preserved():
      choice = engine_choice.with_optimizer(
        self._compile,
        self.present,
        self._strategy,
        binding,
        self._replica.variables,
      )
    if choice is not self.present:
      self.replace(choice)
