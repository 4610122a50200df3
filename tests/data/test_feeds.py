"""Python objects that give batches train as in Keras' `fit`."""

import itertools

import keras
import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

import trainloop
from support import small

N, SIZE = 22, 8  # a partial last batch of 6
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 5)).astype("float32")
Y = RNG.normal(size=(N, 1)).astype("float32")
BATCHES = [(X[i : i + SIZE], Y[i : i + SIZE]) for i in range(0, N, SIZE)]


class Rows(keras.utils.PyDataset):
  """Batches in an order that each epoch's end draws anew, from a seed."""

  def __init__(self, convert=lambda x: x, **options):
    super().__init__(**options)
    self.convert, self.rng = convert, np.random.default_rng(3)
    self.order, self.calls = np.arange(N), []

  def __len__(self):
    return 3

  def __getitem__(self, i):
    rows = self.order[i * SIZE : (i + 1) * SIZE]
    return self.convert(X[rows]), Y[rows].astype("float64")

  def on_epoch_begin(self):
    self.calls.append("begin")

  def on_epoch_end(self):
    if self.calls[-1:] != ["begin"]:
      return  # Keras calls it once more, before each fit
    self.calls.append("end")
    self.order = self.rng.permutation(N)


class Loader:
  """As PyTorch's DataLoader: lists of tensors, and a length."""

  def __len__(self):
    return 3

  def __iter__(self):
    return ([Tensor(x), Tensor(y)] for x, y in BATCHES)


class Tensor:
  """As PyTorch's: NumPy does not take it while it needs a gradient."""

  def __init__(self, array):
    self.array = array
    self.shape = array.shape

  def detach(self):
    return Detached(self.array)


class Detached(Tensor):
  def cpu(self):
    return self

  def numpy(self):
    return self.array


def net(sparse=False):
  keras.utils.set_random_seed(0)
  inputs = keras.Input((5,), sparse=sparse)
  return keras.Model(inputs, keras.layers.Dense(1)(inputs))


def loop_of(make=net, **options):
  return trainloop.TrainLoop(
    make, lambda: keras.optimizers.SGD(0.1), "mse", verbose=False, **options
  )


def endless():
  yield from itertools.cycle(BATCHES)


# What it is: (a function that makes it, another for Keras, steps_per_epoch).
KINDS = {
  "a PyDataset": (Rows, Rows, None),
  "a PyDataset with threads": (lambda: Rows(workers=3), Rows, None),
  "a generator": (endless, endless, 3),
  "a function": (lambda: lambda: iter(BATCHES), endless, None),
  "a list": (lambda: BATCHES, endless, None),
  "a zip": (
    lambda: zip(itertools.cycle([X[:8]]), itertools.repeat(Y[:8])),
    lambda: itertools.repeat((X[:8], Y[:8])),
    3,
  ),
  "a loader": (Loader, endless, None),
}


@pytest.mark.parametrize("kind", KINDS)
def test_as_in_keras(kind):
  make, theirs, steps = KINDS[kind]
  loop, data = loop_of(), make()
  loop.fit(data, 2, steps_per_epoch=steps)
  loop.fit(data, 1, steps_per_epoch=steps)  # goes on where it was
  expected, data = net(), theirs()
  expected.compile(keras.optimizers.SGD(0.1), "mse")
  steps = None if isinstance(data, Rows) else 3
  shuffle = {"shuffle": False} if isinstance(data, Rows) else {}
  expected.fit(
    data if isinstance(data, Rows) else (one for one in data),
    epochs=3, verbose=0, steps_per_epoch=steps, **shuffle
  )  # fmt: skip
  for mine, other in zip(
    loop.model.get_weights(), expected.get_weights(), strict=True
  ):
    np.testing.assert_allclose(mine, other, rtol=0, atol=1e-6)


def test_sparse_matrices_as_in_keras():
  def make():
    return Rows(scipy.sparse.csr_array)

  loop = loop_of(lambda: net(sparse=True))
  loop.fit(make(), 2, validation=make())
  assert loop.engine.name == "graph"
  expected = net()  # Keras takes no csr_array
  expected.compile(keras.optimizers.SGD(0.1), "mse")
  expected.fit(Rows(), epochs=2, verbose=0, shuffle=False)
  for mine, other in zip(
    loop.model.get_weights(), expected.get_weights(), strict=True
  ):
    np.testing.assert_allclose(mine, other, rtol=0, atol=1e-6)


def test_epochs_are_told_to_a_pydataset_and_validation_is_not():
  data, validation = Rows(), Rows()
  loop = loop_of()
  loop.fit(data, 2, validation=validation)
  trainloop.sweep_learning_rate(loop, data, steps=5)
  assert data.calls == ["begin", "end", "begin"]
  loop.fit(data, 1)
  assert data.calls == ["begin", "end"] * 2 + ["begin"]
  assert validation.calls == []


@pytest.mark.parametrize("kind", ["a PyDataset", "a generator", "a function"])
def test_a_run_goes_on_with_equal_bytes(kind, tmp_path):
  make, _, steps = KINDS[kind]
  whole, data = loop_of(), make()
  for epochs in (1, 3):
    whole.fit(data, epochs, steps_per_epoch=steps)

  def stop(at):
    if at["step"] == 8:
      loop.stop()

  options = {"workdir": str(tmp_path), "steps_per_loop": 1}
  loop, data = loop_of(on_window=stop, **options), make()
  loop.fit(data, 1, steps_per_epoch=steps)
  stopped = loop.fit(data, 3, steps_per_epoch=steps)
  assert stopped.stop_reason == "preempted"
  again, data = loop_of(**options), make()
  again.fit(data, 1, steps_per_epoch=steps)
  assert len(again.fit(data, 3, steps_per_epoch=steps).rows["loss"]) == 9
  assert small.state_of(again) == small.state_of(whole)


def test_a_sweep_gives_a_generator_its_batches_back():
  plain, swept = loop_of(), loop_of()
  plain.fit(endless(), 2, steps_per_epoch=3)
  data = endless()
  trainloop.sweep_learning_rate(swept, data, steps=5, steps_per_epoch=3)
  swept.fit(data, 2, steps_per_epoch=3)
  assert small.state_of(plain) == small.state_of(swept)


def test_examples_without_targets():
  class Auto(keras.Model):
    def __init__(self):
      super().__init__()
      self.dense = keras.layers.Dense(5)

    def call(self, x):
      return self.dense(x)

    def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
      return tf.reduce_mean(tf.square(x - y_pred))

  def make():
    keras.utils.set_random_seed(0)
    return Auto()

  found = []
  for data in (
    tf.data.Dataset.from_tensor_slices(X).batch(SIZE),
    tf.data.Dataset.from_tensor_slices((X,)).batch(SIZE),
    [(x,) for x, _ in BATCHES],
    lambda: (x for x, _ in BATCHES),
  ):
    loop = trainloop.TrainLoop(
      make, keras.optimizers.SGD(0.1), None, verbose=False
    )
    loop.fit(data, 2, validation=data)
    found.append(loop.model.get_weights())
  expected = make()
  expected.compile(keras.optimizers.SGD(0.1))
  expected.fit(tf.data.Dataset.from_tensor_slices((X,)).batch(SIZE),
               epochs=2, verbose=0)  # fmt: skip
  for weights in found:
    for mine, other in zip(weights, expected.get_weights(), strict=True):
      np.testing.assert_allclose(mine, other, rtol=0, atol=1e-6)


def test_a_loss_without_targets_names_the_line():
  data = tf.data.Dataset.from_tensor_slices(X).batch(SIZE)
  with pytest.raises(ValueError, match=r"dataset.map\(lambda x: \(x, x\)\)"):
    loop_of().fit(data, 1)


def broken():
  yield BATCHES[0]
  yield BATCHES[1]
  raise KeyError("the third")


def uneven():
  yield from BATCHES
  yield X[:4, :3], Y[:4]


def three(at):
  return ValueError if at else KeyError


@pytest.mark.parametrize(
  ("data", "options", "told"),
  [
    (lambda: endless(), {}, r"`data`.*fit\(batches\), not fit\(batches\(\)\)"),
    (lambda: iter(BATCHES), {"steps_per_epoch": 3},
     "with a batch for every update.*an end after 3 batches"),
    (lambda: uneven, {}, r"`data` must be of batches float32 \(None, 5\) as "
     r"the first.*padded_batch\(32\).*got 'float32 \(None, 3\)'"),
    (lambda: [], {}, "`data` must be data of at least one batch"),
    (lambda: [(X, Y, Y, Y)], {}, "of batches x, .*a batch of 4 parts"),
    (lambda: (X, Y), {}, r"trainloop.ArrayData\(x, y, batch_size=32\)"),
    (lambda: X, {}, r"trainloop.ArrayData\(x, y, batch_size=32\)"),
    (lambda: {"a": X}, {}, r"trainloop.ArrayData\(x, y, batch_size=32\)"),
    (lambda: "x.csv", {}, "`data` must be an ArrayData.*got 'str'"),
  ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_a_line(data, options, told):
  with pytest.raises(ValueError, match=told) as caught:
    loop_of().fit(data(), 2, **options)
  assert "\n" not in str(caught.value)


def test_a_validation_generator_is_refused_with_the_line():
  with pytest.raises(ValueError, match=r"`validation` must be.*itself"):
    loop_of().fit(BATCHES, 1, validation=endless())


def test_an_error_of_the_generator_is_raised_as_it_is():
  with pytest.raises(KeyError, match="the third"):
    loop_of().fit(broken(), 1, steps_per_epoch=3)


SHORT = {
  "a list": [(X[:8], Y[:1])] * 3,
  "a later batch": [*BATCHES, (X[:8], Y[:7])],
  "weights": [(X[:8], Y[:8], np.ones(1, "float32"))] * 3,
  "a dataset": tf.data.Dataset.zip(
    tf.data.Dataset.from_tensor_slices(X).batch(8),
    tf.data.Dataset.from_tensor_slices(Y).batch(1),
  ),
}


@pytest.mark.parametrize("kind", SHORT)
def test_other_counts_of_targets_are_refused(kind):
  net = keras.Sequential([keras.layers.Input((5,)), keras.layers.Dense(1)])
  loop = trainloop.TrainLoop(net, "sgd", "mse", verbose=False)
  with pytest.raises(ValueError, match="as many examples in x as in y"):
    loop.fit(SHORT[kind], epochs=1)


def test_a_loss_that_is_missing_is_asked_for():
  with pytest.raises(ValueError, match="`loss` must be given, as loss='mse'"):
    trainloop.TrainLoop(small.model(), "sgd").fit(small.data(), 1)
