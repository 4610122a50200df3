"""Making a loop leaves the process as it was: seeds, policies, functions."""

import random
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

import trainloop
from support import small
from trainloop.base import seeds

DRAWS = {
  "random": lambda: random.random(),
  "numpy": lambda: float(np.random.normal()),
  "tensorflow": lambda: float(tf.random.uniform([])),
  "tensorflow, op seed": lambda: float(tf.random.uniform([], seed=5)),
  "tensorflow, generator": lambda: float(
    tf.random.get_global_generator().normal([])
  ),
  "keras": lambda: float(keras.random.uniform([])),
  "keras, weights": lambda: float(keras.layers.Dense(1)(np.ones((1, 1)))[0, 0]),
  "keras, dropout": lambda: (
    keras.layers.Dropout(0.5).get_config()
    and float(keras.layers.Dropout(0.5).seed_generator.state.value[0])
  ),
}


def net():
  return keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])


def lazy():
  """Its layers, and their seeds, are made when the first data comes."""

  class Lazy(keras.Model):
    def build(self, shape):
      self.inner = keras.layers.Dense(3, activation="softmax")
      self.inner.build(shape)

    def call(self, x):
      return self.inner(x)

  return Lazy()


def eager():
  """Weights by ops whose state TensorFlow keeps."""

  def normal(shape, dtype=None):
    return tf.random.normal(shape, dtype=dtype or tf.float32)

  layer = keras.layers.Dense(3, "softmax", kernel_initializer=normal)
  return keras.Sequential([keras.Input((8,)), layer])


def broken():
  raise OSError("no weights")


def loop(model=net, **options):
  return small.loop(model, keras.optimizers.SGD(0.1), **options)


def nothing():
  pass


def makes():
  loop(seed=4)


def fails():
  with pytest.raises(OSError, match="no weights"):
    loop(broken)


def is_refused():
  with pytest.raises(ValueError, match="`model` must be"):
    loop(lambda: 3)


def seed_all():
  keras.utils.set_random_seed(1)
  tf.random.set_global_generator(tf.random.Generator.from_seed(1))


@pytest.mark.parametrize("draw", DRAWS.values(), ids=list(DRAWS))
@pytest.mark.parametrize("does", [makes, fails, is_refused])
def test_the_draws_between_are_those_without_it(monkeypatch, does, draw):
  # As in a process none of whose models drew by eager ops; see `seeds`.
  monkeypatch.setitem(seeds._SEEN, "eager ops", False)
  found = []
  for act in (nothing, does):
    seed_all()
    drawn = [draw()]
    for _ in range(3):
      act()
      drawn.append(draw())
    found.append(drawn)
  assert found[1] == found[0]
  assert len(set(found[0])) == 4, "it draws nothing: the test can't fail"


def test_unseeded_ones_are_left_so():
  """No loop makes a process repeat itself that was never seeded."""
  drawn = set()
  for _ in range(5):
    makes()
    drawn.add((random.random(), float(np.random.normal())))
  assert len(drawn) == 5


@pytest.mark.parametrize("model", [net, lazy, eager])
def test_the_seed_alone_says_what_is_made(model):
  found = {}
  for seed in (3, 4, 3):
    random.random(), np.random.normal(), tf.random.uniform([])
    made = loop(model, seed=seed)
    made.evaluate(small.data())
    found.setdefault(seed, set()).add(small.digest(made.model.weights))
  assert [len(one) for one in found.values()] == [1, 1]
  assert found[3] != found[4]


def test_a_fit_and_a_sweep_draw_nothing():
  seed_all()
  want = [draw() for draw in DRAWS.values()]
  seed_all()
  made = loop(lazy, seed=2)
  made.evaluate(small.data())
  made.fit(small.data(), 1)
  trainloop.sweep_learning_rate(made, small.data(), steps=10)
  assert [draw() for draw in DRAWS.values()] == want


@pytest.mark.parametrize("precision", [None, "bfloat16"])
def test_the_policy_is_the_process_own(precision):
  keras.config.set_dtype_policy("float64")
  try:
    with pytest.raises(OSError, match="no weights"):
      loop(broken, mixed_precision=precision)
    assert keras.config.dtype_policy().name == "float64"
  finally:
    keras.config.set_dtype_policy("float32")


def test_two_threads_have_the_generators_one_after_another():
  """Each draws what it draws alone, and the process keeps its own."""
  entered, left, found = threading.Event(), threading.Event(), []

  def draw(first=lambda: None, then=lambda: None):
    with seeds.Seeds(0).scope():
      drawn = [np.random.rand(), random.random()]
      first()
      found.append([*drawn, np.random.rand(), random.random()])
    then()

  draw()
  np.random.seed(5)
  want = np.random.RandomState(5).rand()

  def second():
    draw(lambda: (entered.set(), left.wait(10)))

  other = threading.Thread(target=second)
  # It enters meanwhile, unless it has to wait.
  draw(lambda: (other.start(), entered.wait(0.5)), left.set)
  other.join()
  assert found == [found[0]] * 3
  assert np.random.rand() == want


def test_inside_one_another_they_are_put_back():
  with seeds.Seeds(0).scope():
    before = np.random.get_state()[1].tolist()
    with pytest.raises(OSError), seeds.Seeds(1).scope():
      broken()
    assert np.random.get_state()[1].tolist() == before
