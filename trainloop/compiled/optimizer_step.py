"""The optimizer's part of an update, in the graph compiled where that pays."""

import math

import keras
import tensorflow as tf

from trainloop.compiled import trace_numbers
from trainloop.devices import strategies
from trainloop.model import bias_correction

# From so many trainable numbers on XLA pays for the seconds that it compiles.
_PAYS_FROM = 1 << 18


class OptimizerStep:
  """Applies gradients with the hyperparameters of an update; weights' averages
  follow.

  In TensorFlow's graph an optimizer of Keras is a dozen ops a variable, each of
  them a pass over memory. XLA makes a loop of them, as it does in its own
  windows; the rest of a graph stays in the graph. What is not Keras' own
  (another optimizer, a constraint) need not compile, and is left alone.

  Args:
    strategy: the `tf.distribute.Strategy` of model and optimizer.
    binding: the optimizer's `Binding`.
    variables: the model's trainable Keras variables.
    state: the run's `TrainState`.
    jit: whether XLA compiles what it is called in.

  Attributes:
    compiles: whether XLA compiles it by itself.
  """

  def __init__(self, strategy, binding, variables, state, jit):
    self._strategy, self._binding = strategy, binding
    self._variables, self._state = variables, state
    self._jit = jit
    size = sum(math.prod(variable.shape) for variable in variables)
    self.compiles = (
      not jit
      and size >= _PAYS_FROM
      and strategy.num_replicas_in_sync == 1
      and not strategies.on_gpu(strategy)
      and _all_of_keras(binding.optimizer, variables)
    )

  def __call__(self, gradients, values, moves):
    """The optimizer's update; traced, cross-replica.

    Args:
      gradients: one per-replica gradient a variable, or None.
      values: {name: float32 scalar} of the hyperparameters that move.
      moves: the `Moves` of the variables.
    """
    if not self.compiles:
      self._apply(gradients, values, moves)
      return
    present = [g for g in gradients if g is not None]

    def apply(present, values):
      rest = iter(present)
      every = [None if g is None else next(rest) for g in gradients]
      self._apply(every, values, moves)

    shapes = [(g.shape.as_list(), g.dtype.name) for g in present]
    with trace_numbers.settled(repr((type(self).__qualname__, shapes))):
      compiled = tf.function(apply, autograph=False, jit_compile=True)
      compiled(present, values)

  def _apply(self, gradients, values, moves):
    strategy, average = self._strategy, self._state.average
    with average.stepping(strategy, self._binding.optimizer, moves):
      self._binding.apply(
        strategy,
        gradients,
        self._variables,
        values,
        moves.frozen,
        self._correction(values),
      )
    if not self._jit:  # else behind the guard, see `Update`
      average.follow(strategy, values, moves)

  def _correction(self, values):
    """The factor on an update's rate for `bias_correction="exact"`, else None;
    multiplies what the update is given into `Coefficients.products`."""
    products = self._state.coefficients.products
    if not products:
      return None
    optimizer = self._binding.optimizer
    given = bias_correction.coefficients(optimizer, values)
    for name, product in products.items():
      product.assign(product * tf.cast(given[name], tf.float64))
    return bias_correction.factor(optimizer, given, products)


def _all_of_keras(optimizer, variables):
  """Whether Keras itself wrote all that an optimizer's update runs."""
  constraints = [v.constraint for v in variables if v.constraint is not None]
  return _is_in(keras.optimizers, optimizer) and all(
    _is_in(keras.constraints, one) for one in constraints
  )


def _is_in(module, thing):
  kind = type(thing)
  return getattr(module, kind.__name__, None) is kind
