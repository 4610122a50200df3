"""The table of hyperparameters: what each update of a window is given.

A row an update, a column a hyperparameter. It is made in graph before a window
and is an input of it, so that one compiled window serves every schedule.
"""

import tensorflow as tf

LEARNING_RATE, MOMENTUM = "learning_rate", "momentum"


def columns_of(schedule):
  """Names of the columns that a schedule fills.

  A hyperparameter that a run leaves alone has no column: the program then
  holds the optimizer's own number as a constant.

  Args:
    schedule: a `kernels.Schedule`.
  """
  return (LEARNING_RATE, *([MOMENTUM] if schedule.moves_momentum else []))


class Table:
  """Makes a schedule's rows for the updates that come; traced once.

  table[i] = (rate(t + i) * plateau * rewinds, momentum(t + i)), t the
  schedule's own step: one vector call of the kernel, which gives the same bits
  for a vector as for its elements.

  Args:
    state: the run's `TrainState`.
    schedule: a `kernels.Schedule`.
    columns: names of the columns, as `columns_of` gives them. A momentum that
      the schedule leaves alone is `own_momentum`.
    own_momentum: the optimizer's, float; None if it has none.
  """

  def __init__(self, state, schedule, columns, own_momentum=None):
    self._state, self._schedule = state, schedule
    self._own_momentum, self.columns = own_momentum, columns

  def __call__(self, updates):
    """The next rows, float32 (updates, columns).

    Args:
      updates: how many, int >= 1.
    """
    return self._rows(tf.constant(updates))

  # Not one function around the window's: TensorFlow would optimise the whole
  # window's graph anew for each schedule.
  @tf.function(autograph=False, input_signature=[tf.TensorSpec([], tf.int32)])
  def _rows(self, updates):
    state = self._state
    first = state.global_step - state.schedule_start
    rates, momenta = self._schedule(
      first + tf.range(tf.cast(updates, tf.int64))
    )
    values = [rates * state.judge.scale * state.rate_scale]
    if MOMENTUM in self.columns:
      own = self._own_momentum
      values.append(tf.fill([updates], own) if momenta is None else momenta)
    return tf.stack(values, axis=1)
