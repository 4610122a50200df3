"""Classes of examples, out of their targets."""

import numpy as np

from kernels import checks


def labels_of(name, y):
  """The class of each example, int64 (examples,).

  Args:
    name: argument that wants it, for the error.
    y: labels, whole numbers of shape (examples,) or (examples, 1), or one-hot.

  Raises:
    ValueError: if they are none.
  """
  rule = "for labels: whole numbers >= 0, or one-hot rows"
  has_labels = hasattr(y, "shape") and y.ndim in (1, 2)
  if not has_labels or y.dtype.kind not in "biuf":
    checks.fail(name, f"targets {getattr(y, 'shape', type(y).__name__)}", rule)
  if y.ndim == 2 and y.shape[1] > 1:
    return np.argmax(y, axis=1)
  flat = y.reshape(-1)
  labels = np.round(flat).astype(np.int64)
  bad = np.flatnonzero((labels != flat) | (labels < 0))
  if len(bad):
    checks.fail(name, f"target {flat[bad[0]]} of example {bad[0]}", rule)
  return labels
