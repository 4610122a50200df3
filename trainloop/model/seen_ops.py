"""Which ops a call of TensorFlow runs or traces."""

import contextlib

# Private: nothing public tells the ops that run eagerly. `test_seen_ops.py`
# notices if it moves.
from tensorflow.python.framework import op_callbacks


@contextlib.contextmanager
def into(names):
  """A context in which each op of this thread leaves its name.

  Args:
    names: a set of str that takes them, as "Conv2D".
  """

  def see(op_type, inputs, attrs, outputs, op_name=None, graph=None):
    del inputs, attrs, outputs, op_name, graph
    named = op_type.decode() if isinstance(op_type, bytes) else op_type
    names.add(named)

  op_callbacks.add_op_callback(see)
  try:
    yield
  finally:
    op_callbacks.remove_op_callback(see)
