"""The table of hyperparameters: what each update of a window is given.

A row an update, a column a hyperparameter. It is made in graph before a window
and is an input of it, so that one compiled window serves every schedule.
"""

import tensorflow as tf

from kernels import combined
from trainloop.model.scheduled_optimizer import LEARNING_RATE, MOMENTUM

RATE_OF = f"{LEARNING_RATE}/"  # a further optimizer's, or a group's factor


def columns_of(schedule, factors=()):
  """Names of the columns that a schedule and the groups' factors fill.

  A hyperparameter that a run leaves alone has no column: the program then
  holds the optimizer's own number as a constant.

  Args:
    schedule: a `kernels.Schedule`.
    factors: names of the factors of the model's `Groups`.
  """
  momentum = [MOMENTUM] if schedule.moves_momentum else []
  others = combined.others_of(schedule)
  return (LEARNING_RATE, *momentum, *others, *factors)


class Table:
  """Makes a schedule's rows for the updates that come; traced once.

  table[i] = (rate(t + i) * plateau * rewinds, momentum(t + i), ...), t the
  schedule's own step: one vector call of each kernel, which gives the same bits
  for a vector as for its elements.

  Args:
    state: the run's `TrainState`.
    schedule: a `kernels.Schedule`.
    groups: the model's `Groups`.
    columns: names of the columns, as `columns_of` gives them. A momentum that
      the schedule leaves alone is `own_momentum`.
    own_momentum: the optimizer's, float; None if it has none.
  """

  def __init__(self, state, schedule, groups, columns, own_momentum=None):
    self._state, self._schedule, self._groups = state, schedule, groups
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
    steps = first + tf.range(tf.cast(updates, tf.int64))
    rates, momenta = self._schedule(steps)
    if momenta is None and MOMENTUM in self.columns:
      momenta = tf.fill([updates], self._own_momentum)
    factors = self._groups.factors
    further = {**combined.others_of(self._schedule), **factors}
    scale = state.judge.scale, state.rate_scale
    values = {LEARNING_RATE: rates * scale[0] * scale[1], MOMENTUM: momenta}
    for name, kernel in further.items():
      own = kernel(steps).learning_rate
      is_rate = name.startswith(RATE_OF) and name not in factors
      values[name] = own * scale[0] * scale[1] if is_rate else own
    return tf.stack([values[name] for name in self.columns], axis=1)
