"""Datasets whose passes differ: each is read to its own end, or refused."""

import itertools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import trainloop
from support import small

_SPEC = (tf.TensorSpec((8,), tf.float32), tf.TensorSpec((), tf.int64))


class Passes:
  """A dataset of unknown length that remembers what each pass gave.

  Args:
    sizes: examples that its passes begin with, one after another; the last
      one goes on.
    thinned: function of a dataset that takes or adds examples.
  """

  def __init__(self, *sizes, thinned=lambda dataset: dataset):
    self.read = []  # by pass: its (x, y) of one example each
    self._sizes = itertools.chain(sizes, itertools.repeat(sizes[-1]))
    every = tf.data.Dataset.from_generator(self._pass, output_signature=_SPEC)
    every = thinned(every).map(self._remembered)
    self.dataset = every.batch(8)

  def _pass(self):
    self.read.append([])
    x, y = small.arrays(64)
    for i in range(next(self._sizes)):
      yield x[i], y[i]

  def _remembered(self, x, y):
    def remember(x, y):
      self.read[-1].append((x, y))
      return x, y

    found = tf.numpy_function(remember, (x, y), (tf.float32, tf.int64))
    return [
      tf.ensure_shape(one, spec.shape)
      for one, spec in zip(found, _SPEC, strict=True)
    ]


def _some(dataset):
  """A filter by a number that is drawn anew in each pass."""
  return dataset.filter(lambda x, y: tf.random.uniform(()) < 0.6)


def _every_third(dataset):
  """A filter that counts on over all passes."""
  seen = itertools.count()

  def count(_):
    return np.bool_(next(seen) % 50 < 21)

  return dataset.filter(lambda x, y: tf.numpy_function(count, (y,), tf.bool))


def _several(dataset):
  """Each example 0 to 3 times."""

  def copies(x, y):
    times = tf.random.uniform((), 0, 4, tf.int64)
    return tf.data.Dataset.from_tensors((x, y)).repeat(times)

  return dataset.flat_map(copies)


# The first two passes of a dataset are before step 1: counted, first batch.
KINDS = {
  "random filter": lambda: Passes(40, thinned=_some),
  "filter with a count": lambda: Passes(40, thinned=_every_third),
  "flat_map of random length": lambda: Passes(30, thinned=_several),
  "generator that grows": lambda: Passes(8, 8, 9, 20, 30, 47, 60),
  "generator that shrinks": lambda: Passes(60, 60, 47, 30, 20, 9, 3),
}


def _measured(model, read):
  """The loss and accuracy of examples, by NumPy."""
  x, y = (np.stack(part) for part in zip(*read, strict=True))
  w1, b1, w2, b2 = (np.float64(v) for v in model.get_weights())
  z = np.maximum(x @ w1 + b1, 0) @ w2 + b2
  z -= np.log(np.exp(z).sum(-1, keepdims=True))
  return -z[np.arange(len(y)), y].mean(), (z.argmax(-1) == y).mean()


@pytest.fixture(scope="module")
def still():
  """A loop whose weights stay as they are."""
  return small.loop(optimizer=keras.optimizers.SGD(0.0))


@pytest.mark.parametrize("kind", KINDS)
def test_each_pass_counts_what_it_read(still, kind):
  passes = KINDS[kind]()
  found = still.evaluate(passes.dataset)
  want = [_measured(still.model, passes.read[-1])]
  np.testing.assert_allclose(list(found.values()), want[0], rtol=1e-5)
  before = len(passes.read)
  epochs = still.fit(small.data(), 3, validation=passes.dataset).epochs
  assert len(passes.read) == before + 2 + 3
  want = [_measured(still.model, read) for read in passes.read[-3:]]
  found = zip(epochs["val_loss"], epochs["val_accuracy"], strict=True)
  np.testing.assert_allclose(list(found), want, rtol=1e-5)
  assert len({len(read) for read in passes.read}) > 1, "all of one length"


def test_replicas_read_a_pass_to_its_end(two_replicas):
  loop = small.loop(
    small.model, lambda: keras.optimizers.SGD(0.0), strategy=two_replicas
  )
  passes = Passes(16, 16, 33, 7, 41)
  epochs = loop.fit(small.data(), 3, validation=passes.dataset).epochs
  want = [_measured(loop.model, read)[0] for read in passes.read[-3:]]
  assert [len(read) for read in passes.read[-3:]] == [33, 7, 41]
  np.testing.assert_allclose(epochs["val_loss"], want, rtol=1e-5)


def test_ids_out_of_range_are_named_in_a_longer_pass():
  net = keras.Sequential([keras.layers.Embedding(4, 3), keras.layers.Flatten()])
  net.add(keras.layers.Dense(3, activation="softmax"))
  lengths = iter([2, 2, 5])

  def batches():
    for i in range(next(lengths)):
      yield np.full((8, 2), i), np.zeros(8, "i8")

  spec = (tf.TensorSpec((None, 2), tf.int64), tf.TensorSpec((None,), tf.int64))
  data = tf.data.Dataset.from_generator(batches, output_signature=spec)
  with pytest.raises(ValueError, match="batch 4 of the evaluation has"):
    small.loop(net).evaluate(data)


def test_an_empty_pass_is_never_the_best(capsys):
  """A metric that counted nothing reads 0, the least there is."""
  stop = trainloop.EarlyStopping(monitor="val_accuracy", mode="min", patience=9)
  loop = small.loop(early_stopping=stop)
  passes = Passes(24, 24, 24, 0, 24)
  history = loop.fit(small.data(), 3, validation=passes.dataset)
  nan = [np.isnan(history.epochs[f"val_{k}"]) for k in ("loss", "accuracy")]
  np.testing.assert_array_equal(nan, [[False, True, False]] * 2)
  assert loop.best["step"] != 23
  shown = capsys.readouterr()
  told = "warning: `validation` had no example after update 23\n"
  assert told in shown.out + shown.err


def _once():
  batches = iter([(np.ones((8, 8), "float32"), np.zeros(8, np.int64))] * 4)
  spec = [tf.TensorSpec((8, *one.shape), one.dtype) for one in _SPEC]
  make = tf.data.Dataset.from_generator
  return make(lambda: batches, output_signature=tuple(spec))


def _read(name, data, **options):
  """Has data of that name read, by what takes it."""
  loop = small.loop(compile=options.pop("compile", "auto"))
  if name == "evaluate":
    loop.evaluate(data)
  elif name == "validation":
    loop.fit(small.data(), 1, validation=data)
  else:
    loop.fit(data, 2, **options)


def _whole(dataset):
  """The same with batches of one shape, which XLA takes."""
  shapes = ((8, 8), (8,))
  return dataset.map(lambda *pair: tuple(map(tf.ensure_shape, pair, shapes)))


_EMPTY = "one batch or more in each pass.*got 'no batch in a later pass'"
_REFUSED = {
  "used up": ("data", _once, {}, _EMPTY),
  "used up, validation": ("validation", _once, {}, _EMPTY),
  "used up, evaluate": ("evaluate", _once, {}, _EMPTY),
  "empty, evaluate": ("evaluate", lambda: Passes(9, 9, 0).dataset, {}, _EMPTY),
  **{
    f"{what}, {compile}": (
      "data",
      lambda make=make: _whole(make()),
      {"compile": compile, **options},
      _EMPTY,
    )
    for compile in ("xla", "graph")
    for what, make, options in [
      ("an empty pass in training", lambda: Passes(32, 32, 32, 0).dataset, {}),
      ("used up in training", _once, {"steps_per_epoch": 6}),
    ]
  },
  **{
    f"a length that is not so, {name}": (
      name,
      lambda: _once().apply(tf.data.experimental.assert_cardinality(4)),
      {},
      "a dataset of 4 batches in each pass.*got 'only \\d'",
    )
    for name in ("data", "validation", "evaluate")
  },
}


@pytest.mark.parametrize("case", _REFUSED)
def test_data_that_can_not_be_read_again(case):
  name, make, options, told = _REFUSED[case]
  with pytest.raises(ValueError, match=told) as caught:
    _read(name, make(), **options)
  assert re.match(r"`(data|validation)` must be .*$", str(caught.value))
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("compile", ["xla", "graph"])
def test_training_reads_passes_of_any_length_one_after_another(compile):
  passes = Passes(32, 32, 32, 16, 8, 48)
  loop = small.loop(compile=compile)
  history = loop.fit(_whole(passes.dataset), 3)
  assert len(history.rows["loss"]) == 3 * 4
  assert [len(read) for read in passes.read[2:5]] == [32, 16, 8]
