"""A tensor in the place of a number that Keras' optimizers look at in Python.

They compare momentum and the norms that they clip to with 0, or ask whether
there is one, before they compute with it: a tensor alone fails there.
"""

import tensorflow as tf


class TensorNumber:
  """Stands in for a Python number while an optimizer's update is traced.

  It counts as a number > 0, and computes as its tensor.

  Args:
    tensor: float32 scalar.
  """

  __hash__ = None

  def __init__(self, tensor):
    self._tensor = tensor
    self.dtype = tensor.dtype.name
    self.shape = tensor.shape

  def __bool__(self):
    return True

  def __ne__(self, other):
    return True

  def __eq__(self, other):
    return False

  def __gt__(self, other):
    return True

  def __neg__(self):
    return -self._tensor

  def __mul__(self, other):
    return self._tensor * other

  __rmul__ = __mul__

  def __truediv__(self, other):
    return self._tensor / other

  def __rtruediv__(self, other):
    return other / self._tensor

  def __tf_tensor__(self, dtype=None, name=None):
    del name
    return tf.cast(self._tensor, dtype) if dtype else self._tensor
