"""Counts the batches of a dataset that does not know its own length, aloud.

A generator without end would be counted for ever: after a few seconds a line
says what is being counted, and what to give if it has no end.
"""

import threading

import tensorflow as tf

from kernels import checks
from trainloop.base import output

_FIRST, _GROWTH = 5.0, 3  # seconds to the first line; each later one waits more


class Waiting:
  """A context that reports its progress: a line after a few seconds, then more.

  A thread of its own writes them, because a dataset may block without end.

  Args:
    text: function of the seconds so far that returns a line.
    tell: function that writes a line; None for standard output's.
    wait: function that waits some seconds for the context's end, and returns
      whether it came; given by tests alone.
  """

  def __init__(self, text, tell=None, wait=None):
    self._text, self._tell = text, tell or output.line
    self._ended = threading.Event()
    self._wait = wait or self._ended.wait
    self._thread = threading.Thread(target=self._say, daemon=True)

  def __enter__(self):
    self._thread.start()

  def __exit__(self, *error):
    self._ended.set()
    self._thread.join()

  def _say(self):
    passed, pause = 0.0, _FIRST
    while not self._wait(pause):
      passed, pause = passed + pause, pause * _GROWTH
      self._tell(self._text(passed))


def length(name, dataset, observe=None, **waiting):
  """The number of batches of a dataset, int >= 1.

  One of unknown length is read once, some 30 us a batch besides its own time.

  Args:
    name: what it is called: "data" or "validation".
    dataset: a `tf.data.Dataset`.
    observe: called with the first batch where it is read; or None.
    **waiting: `tell` and `wait` of `Waiting`.

  Raises:
    ValueError: if it is empty, or known to have no end.
  """
  count = int(dataset.cardinality())
  if count == tf.data.INFINITE_CARDINALITY:
    if name == "data":
      rule = "given to `fit`, as `data` has no end (or write `source.take(n)`)"
      checks.fail("steps_per_epoch", None, rule)
    checks.fail(name, "one without end", f"a dataset that ends: {_ends(name)}")
  if count == tf.data.UNKNOWN_CARDINALITY:
    count = _read(name, dataset, observe, waiting)
  if count == 0:
    checks.fail(name, 0, "a dataset of at least one batch")
  return count


def first(name, dataset, **waiting):
  """The first batch of a dataset; see `length`."""

  def text(seconds):
    return f"waiting for the first batch of `{name}` for {seconds:.0f} s"

  with Waiting(text, **waiting):
    for batch in dataset:
      return batch
  return no_more(name)  # it was counted before


def no_more(name):
  """Refuses a dataset of which a pass after the first gave no batch: mostly a
  generator that one pass uses up."""
  rule = "a dataset of one batch or more in each pass: from_generator takes a"
  rule = f"{rule} function that makes a new iterator"
  return checks.fail(name, "no batch in a later pass", rule)


def _read(name, dataset, observe, waiting):
  count = 0

  def text(seconds):
    counted = f"`{name}` has no known length: counted {count} batches"
    return f"{counted} in {seconds:.0f} s so far; {_ends(name)}"

  with Waiting(text, **waiting):
    for batch in dataset:
      if observe is not None and not count:
        observe(batch)
      count += 1
  return count


def _ends(name):
  """What to write where a dataset has no end."""
  if name == "data":
    return "give `fit` its `steps_per_epoch`, or write `source.take(n)`"
  text = f"write `{name}.take(n)`, n as Keras' `validation_steps`"
  return f"{text} (of a function, `lambda: itertools.islice({name}(), n)`)"
