"""Data without a known length: counted aloud; without an end: refused."""

import itertools
import threading

import numpy as np
import pytest
import tensorflow as tf

import trainloop
from support import small
from trainloop.data import counting

_SPEC = (tf.TensorSpec((8, 8)), tf.TensorSpec((8,), tf.int64))


def batches(count):
  """A dataset of unknown length, of `count` batches or, for None, no end."""
  x, y = small.arrays(8)

  def generate():
    for _ in range(count) if count is not None else itertools.count():
      yield x, y

  return tf.data.Dataset.from_generator(generate, output_signature=_SPEC)


def known(count):
  return tf.data.Dataset.from_tensors(small.arrays(8)).repeat(count)


class Clock:
  """Ends a wait after `count` lines; the thing waited for goes on until then.

  The lines come from the thread that waits: what is counted holds on a batch
  until all of them were said.
  """

  def __init__(self, count):
    self.count, self.waits, self.lines = count, [], []

  def wait(self, seconds):
    self.waits.append(seconds)
    return len(self.lines) == self.count

  def told(self):
    return {"tell": self.lines.append, "wait": self.wait}


def test_a_known_length_is_not_counted():
  clock = Clock(0)
  assert counting.length("data", known(7), **clock.told()) == 7
  assert not clock.waits


@pytest.mark.parametrize(
  ("name", "advice"),
  [
    ("data", "give `fit` its `steps_per_epoch`, or write `source.take(n)`"),
    ("validation", "write `validation.take(n)`, n as Keras' `validation_ste"),
  ],
)
def test_counting_is_said_sparsely(name, advice):
  clock = Clock(3)
  assert counting.length(name, batches(5), **clock.told()) == 5
  assert clock.waits == [5.0, 15.0, 45.0, 135.0]
  for line, seconds in zip(clock.lines, (5, 20, 65), strict=True):
    assert line.startswith(f"`{name}` has no known length: counted ")
    assert f" batches in {seconds} s so far; {advice}" in line
    assert "\n" not in line


def test_a_dataset_that_gives_nothing_is_said():
  """Its iterator is held inside TensorFlow while the lines come."""
  lines, enough = [], threading.Event()

  def hold():
    enough.wait(60)
    return iter(())

  dataset = tf.data.Dataset.from_generator(hold, output_signature=_SPEC)

  def wait(seconds):
    if len(lines) == 3:
      enough.set()
    return enough.is_set()

  with pytest.raises(ValueError, match="of at least one batch; got 0"):
    counting.length("data", dataset, tell=lines.append, wait=wait)
  assert [line.partition(": ")[2][:20] for line in lines] == [
    "counted 0 batches in"
  ] * 3


def test_waiting_for_a_first_batch_is_said():
  clock = Clock(2)
  x, y = counting.first("data", batches(2), **clock.told())
  assert (x.shape, y.shape) == ((8, 8), (8,))
  assert clock.lines == [
    "waiting for the first batch of `data` for 5 s",
    "waiting for the first batch of `data` for 20 s",
  ]


@pytest.mark.parametrize("kind", ["fit", "validation", "evaluate", "sweep"])
def test_what_is_known_to_have_no_end_is_refused_at_once(kind):
  loop = small.loop()
  endless = known(None)
  start, line = "`steps_per_epoch` must be given to `fit`", "`source.take(n)`"
  if kind == "validation":
    start, line = "`validation` must be a dataset", "`validation.take(n)`"
  calls = {
    "fit": lambda: loop.fit(endless, 1),
    "validation": lambda: loop.fit(known(2), 1, validation=endless),
    "evaluate": lambda: loop.evaluate(endless),
    "sweep": lambda: trainloop.sweep_learning_rate(loop, endless),
  }
  with pytest.raises(ValueError) as caught:
    calls[kind]()
  text = str(caught.value)
  assert text.startswith(start) and line in text and "\n" not in text
  assert loop.global_step == 0


@pytest.mark.parametrize(
  "steps", [0, -1, 1.5, True, "3", 2**31, 2**40, 2**61, 2**63, 2**70]
)
def test_steps_that_cannot_be(steps):
  with pytest.raises(ValueError, match="`steps_per_epoch` must be an integer"):
    small.loop().fit(known(None), 1, steps_per_epoch=steps)


@pytest.mark.parametrize("epochs", [10**9, 2**40, 2**61])
def test_a_fit_that_cannot_be(epochs, tmp_path):
  loop = small.loop(workdir=tmp_path / "new")
  rule = "`epochs` must be at most 44739242, as a fit has at most 536870912 up"
  with pytest.raises(ValueError, match=rule):
    loop.fit(small.data(), epochs)
  assert not (tmp_path / "new").exists()


def test_numpy_counts_are_counts():
  loop = small.loop()
  loop.fit(known(None), np.int32(1), steps_per_epoch=np.int64(3))
  assert loop.global_step == 3
