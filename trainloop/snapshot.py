"""All that training moves, copied to the host and put back bit for bit."""


class Snapshot:
  """Values of variables at one moment, each replica's own.

  Args:
    strategy: the `tf.distribute.Strategy` of the variables.
    variables: tf.Variables.
  """

  def __init__(self, strategy, variables):
    self._parts = [
      part
      for variable in variables
      for part in strategy.experimental_local_results(variable)
    ]
    self._values = [part.numpy() for part in self._parts]

  def restore(self):
    """Puts the values back, on every replica."""
    for part, value in zip(self._parts, self._values, strict=True):
      part.assign(value)
