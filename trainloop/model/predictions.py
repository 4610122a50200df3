"""A model's outputs for examples, by Keras' own `predict`."""

import inspect

import tensorflow as tf

from kernels import callables, checks


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
  with callables.compiled("model"):
    if inspect.isroutine(data):  # which makes the batches
      data = data()
    if isinstance(data, tf.data.Dataset):
      return model.predict(data.map(_inputs), verbose=0)
    arrays = getattr(data, "arrays", None)
    if arrays is None:
      return model.predict(data, verbose=0)
    return model.predict(arrays[0], batch_size=data.batch_size, verbose=0)


def _inputs(*element):
  """x of an element; a tuple of two or three is (x, y, weight)."""
  return element[0]
