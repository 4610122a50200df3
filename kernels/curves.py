"""Ways from one value to another on a fraction in [0, 1].

Each takes `done` and `left`, float64 tensors with done + left = 1, both made
from integers by the caller: then the start and the end are met exactly, and a
value near zero keeps all its digits (1 - cos(x) would lose them).
"""

import math

import tensorflow as tf

from kernels import checks

_HUGE = 1e200  # times a rate it is finite in float64


def linear(start, end, done, left):
  """start left + end done: a straight line.

  Args:
    start: value at done = 0; float or float64 tensor.
    end: value at done = 1; float or float64 tensor.
    done: float64 tensor of any shape, in [0, 1].
    left: float64 tensor, 1 - done.

  Returns:
    A float64 tensor of the shape of `done`.
  """
  return start * left + end * done


def cosine(start, end, done, left):
  """end + (start - end)/2 (1 + cos(pi done)): half a cosine wave.

  Written as start sin^2(pi/2 left) + end sin^2(pi/2 done).

  Args, Returns: as `linear`. Loshchilov & Hutter 2017.
  """
  quarter = math.pi / 2
  fall = tf.square(tf.sin(quarter * left))
  rise = tf.square(tf.sin(quarter * done))
  return start * fall + end * rise


def exponential(start, end, done, left):
  """start (end/start)^done: a straight line on a log axis; start, end > 0.

  Taken from the nearer end, so that both ends are met exactly.

  Args, Returns: as `linear`.
  """
  ratio = math.log(end) - math.log(start)
  from_start = start * tf.exp(ratio * done)
  from_end = end * tf.exp(-ratio * left)
  return tf.where(done < 0.5, from_start, from_end)


def sqrt(start, end, done, left):
  """end + (start - end) (1 - sqrt(done)): steep at first, then flat.

  1 - sqrt(done) is written as left / (1 + sqrt(done)), for its last digits.

  Args, Returns: as `linear`. Haegele et al. 2024.
  """
  fallen = tf.sqrt(done)
  return start * (left / (1.0 + fallen)) + end * fallen


def grown(start, factor):
  """start factor, finite whatever the factor has grown to.

  Args:
    start: float or float64 tensor >= 0.
    factor: float64 tensor >= 0, possibly infinite.

  Returns:
    A float64 tensor, at most the largest float32.
  """
  # Not infinity itself, of which a start of 0 would make NaN.
  return tf.minimum(start * tf.minimum(factor, _HUGE), checks.LARGEST)


CURVES = {"cosine": cosine, "linear": linear, "exponential": exponential}
DECAYS = {"linear": linear, "cosine": cosine, "sqrt": sqrt}
