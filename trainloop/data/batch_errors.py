"""Errors of compiled calls, as errors that name the dataset and the batch that
the model does not take.

TensorFlow names an op and not the batch. So the data is read again from its
start until the model refuses a batch whose shapes were not seen before.
"""

import contextlib
import re

import tensorflow as tf

from kernels import checks
from trainloop.data import counting
from trainloop.data.dataset import DatasetData

_MOST = 10_000  # batches that are read again
# How TensorFlow says that an iterator has ended, and what assert_cardinality
# has found.
_END = "End of sequence"
_LENGTH = re.compile(
  r"expected to contain (\d+) elements? but contained (.*?\d+)"
)


@contextlib.contextmanager
def named(intake, **sources):
  """Around compiled calls that read data.

  Args:
    intake: the trainee's `Intake`.
    **sources: {argument's name: data source, or None}.

  Raises:
    ValueError: in place of an error of TensorFlow's, if a batch is found that
      the model does not take, with its number, from 0, and its shapes; if a
      pass of the training data was empty, or one had another length than the
      dataset says.
    What a Python object that gives batches raised.
  """
  try:
    with contextlib.ExitStack() as stack:
      for source in sources.values():
        if isinstance(source, DatasetData):
          stack.enter_context(source.named_errors())
      yield
  except tf.errors.OpError as error:
    _translate(error, intake, sources)
    raise


def _translate(error, intake, sources):
  """Raises what an error means, where that can be said; see `named`."""
  if isinstance(error, tf.errors.OutOfRangeError):
    # A validation pass ends where it ends; training repeats passes, and ends
    # with an empty one alone.
    if _END in error.message:
      counting.no_more("data")
  elif isinstance(error, tf.errors.FailedPreconditionError):
    match = _LENGTH.search(error.message)
    for name, source in sources.items() if match else ():
      _refuse_length(name, source, int(match[1]), match[2])
  elif isinstance(error, tf.errors.InvalidArgumentError):
    for name, source in sources.items():
      if isinstance(source, DatasetData):
        _look(intake, name, source, error)


def _refuse_length(name, source, length, count):
  """Raises if it is this dataset whose length was said to be so."""
  if isinstance(source, DatasetData) and source.length == length:
    rule = f"a dataset of {length} batches in each pass, as its cardinality is"
    checks.fail(name, count, rule)


def _look(intake, name, source, error):
  """Raises for the first batch of a dataset that the model refuses."""
  seen = set()
  try:
    for number, batch in enumerate(source.batches(_MOST)):
      shapes = repr([leaf.shape for leaf in tf.nest.flatten(batch[:2])])
      why = "" if shapes in seen else intake.refusal(batch)
      seen.add(shapes)
      if why:
        sizes = [tuple(leaf.shape) for leaf in tf.nest.flatten(batch[:2])]
        rule = f"of shapes that the model takes, each batch; batch {number} is"
        raise checks.ArgumentError(
          f"`{name}` must be {rule} not ({why}); got {sizes}"
        ) from error
  except tf.errors.OpError:  # of another pass, which may be another one
    return
