"""A model's outputs for examples, by Keras' own `predict`."""

import inspect

import numpy as np
import tensorflow as tf

from kernels import callables, checks
from trainloop.data import structures


def of(model, data, workers):
  """Outputs for all examples, in their order.

  Args:
    model: the built keras.Model.
    data: an `ArrayData`, whose order is that of its arrays; a batched
      `tf.data.Dataset` of x, (x, y) or (x, y, weight); or what
      `keras.Model.predict` takes; or a function that makes it.
    workers: how many processes train it.

  Returns:
    NumPy arrays, as `keras.Model.predict` gives them.

  Raises:
    ValueError: with several workers, each of which has a part of the model's
      devices, or for data of another kind.
  """
  if workers > 1:
    rule = "asked for in a process of its own, of the saved model, with several"
    checks.fail("predict", f"{workers} workers", f"{rule} workers")
  if inspect.isroutine(data):  # which makes the batches
    with callables.compiled("data"):
      data = data()
  inputs, options = _read(data)
  try:
    return model.predict(inputs, verbose=0, **options)
  except (ValueError, TypeError, tf.errors.OpError) as error:
    rule = f"what the model takes ({callables.reason(error)})"
    return checks.fail("data", type(data).__name__, rule)


def _read(data):
  """(what Keras' `predict` takes, its options) of what a user gives."""
  if isinstance(data, tf.data.Dataset):
    return data.map(_inputs), {}
  if getattr(data, "arrays", None) is not None:
    return data.arrays[0], {"batch_size": data.batch_size}
  if data is None or isinstance(data, (list, tuple, dict, np.ndarray)):
    data = structures.arrays("data", data)
    leaves = structures.leaves(data)
    if not leaves or not len(leaves[0]):
      rule = "an ArrayData, a batched dataset, or arrays of at least an example"
      checks.fail("data", data, rule)
  return data, {}


def _inputs(*element):
  """x of an element; a tuple of two or three is (x, y, weight)."""
  return element[0]
