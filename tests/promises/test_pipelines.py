"""A dataset that is read on: every later batch is the one that would have come.

Eight kinds of pipeline, left right behind an epoch, inside one and at the end
of a window that crosses one; batch by batch and in stretches; twice in a row.
"""

import numpy as np
import pytest
import tensorflow as tf

from support import small
from trainloop.data import dataset_graph, protocol, staging
from trainloop.data import source as data_lib

EPOCH, EPOCHS = 12, 6
AUTOTUNE = tf.data.AUTOTUNE
X, Y = small.arrays()


def examples():
  return tf.data.Dataset.from_tensor_slices((X, Y))


def batched(dataset, **options):
  return dataset.batch(8, **{"drop_remainder": True, **options})


def interleaved():
  """Four files' worth of examples, two read at a time."""
  parts = tf.data.Dataset.range(0, 96, 24)
  return parts.interleave(
    lambda i: tf.data.Dataset.from_tensor_slices((X[:24], Y[:24])).map(
      lambda x, y: (x + tf.cast(i, tf.float32), y)
    ),
    cycle_length=2,
    num_parallel_calls=AUTOTUNE,
  )


def shuffled_inside():
  """A shuffle of its own in each file."""
  parts = tf.data.Dataset.range(0, 96, 24).shuffle(4, seed=9)
  return parts.flat_map(
    lambda i: (
      tf.data.Dataset.from_tensor_slices((X[:24], Y[:24]))
      .shuffle(24, seed=4)
      .map(lambda x, y: (x + tf.cast(i, tf.float32), y))
    )
  )


def called(x, y):
  x = tf.numpy_function(np.copy, [x], tf.float32)
  return tf.ensure_shape(x, [8]), y


def slow(x, y):
  return x * 2, y


PIPELINES = {
  "prefetch": lambda: batched(examples().shuffle(1280, seed=7)).prefetch(
    AUTOTUNE
  ),
  "cache_before": lambda: batched(examples().cache().shuffle(96, seed=7)),
  "cache_behind": lambda: batched(examples().shuffle(96, seed=7)).cache(),
  "repeat": lambda: batched(examples().shuffle(96, seed=7).repeat()),
  "repeat_before": lambda: batched(examples().repeat().shuffle(50, seed=7)),
  "interleave": lambda: batched(interleaved().shuffle(30, seed=7)),
  "map": lambda: batched(
    examples().shuffle(96, seed=7).map(slow, num_parallel_calls=AUTOTUNE)
  ),
  "partial": lambda: batched(
    examples().take(91).shuffle(91, seed=7), drop_remainder=False
  ).prefetch(2),
  "endless": lambda: (
    batched(examples().shuffle(96, seed=7)).prefetch(AUTOTUNE).repeat()
  ),
  "numpy_function": lambda: batched(examples().shuffle(96, seed=7).map(called)),
  "one_order": lambda: batched(
    examples().shuffle(96, seed=7, reshuffle_each_iteration=False)
  ).prefetch(AUTOTUNE),
  "two_shuffles": lambda: (
    batched(examples().shuffle(96, seed=7)).shuffle(4, seed=5).prefetch(1)
  ),
  "two_sources": lambda: batched(
    examples()
    .take(48)
    .shuffle(48, seed=1)
    .concatenate(examples().skip(48).shuffle(48, seed=2))
  ),
  "inside": lambda: batched(shuffled_inside()),
}
ENDLESS = ("repeat", "repeat_before", "endless")
# Right behind an epoch, inside one, and behind windows of 4 and 5 steps.
PLACES = {"epoch": (24, 48), "inside": (17, 41), "window": (28, 60)}


def source(name, jit, content=b""):
  steps = EPOCH if name in ENDLESS else None
  made = data_lib.DatasetData(PIPELINES[name](), steps)
  assert made.steps_per_epoch == EPOCH
  made.place(jit, staging.Memory())
  made.stage(EPOCH if jit == "epoch" else 5, room=13)
  made.begin(0, content, EPOCHS)
  return made


def read(made, steps):
  """{step: the batch's bytes}."""
  strategy, batches = tf.distribute.get_strategy(), {}
  for step in steps:
    taken = made.training(strategy, *divmod(step, EPOCH), 1)
    if isinstance(taken, protocol.Staged):
      place = taken.positions[0]
      x, y = (array.numpy()[place] for array in taken.stretch[:2])
    else:
      x, y = (array.numpy() for array in next(taken.iterator)[:2])
    batches[step] = x.tobytes() + y.tobytes()
  return batches


@pytest.fixture(scope="module")
def whole():
  """A function: name of a pipeline -> its batches where nothing ends early."""
  known = {}

  def of(name):
    if name not in known:
      known[name] = read(source(name, False), range(EPOCH * EPOCHS))
    return known[name]

  return of


@pytest.mark.parametrize("jit", [False, True, "epoch"])
@pytest.mark.parametrize("places", PLACES.values(), ids=list(PLACES))
@pytest.mark.parametrize("name", list(PIPELINES))
def test_every_later_batch_is_the_same(whole, name, places, jit):
  """Saved at both places; read on from the first, then from the second."""
  first, second = places
  made = source(name, jit)
  batches = read(made, range(first))
  content = made.position(*divmod(first, EPOCH))
  made = source(name, jit, content)
  batches |= read(made, range(first, second))
  content = made.position(*divmod(second, EPOCH))
  made = source(name, jit, content)
  batches |= read(made, range(second, EPOCH * EPOCHS))
  differ = [at for at, batch in whole(name).items() if batches[at] != batch]
  assert differ == []


@pytest.mark.parametrize("stretch", [5, 3])
def test_what_is_left_of_a_stretch_is_a_window(whole, stretch):
  made = source("map", True)
  read(made, range(17))
  other = source("map", True, made.position(1, 5))
  other.stage(stretch, room=8)
  at, batches = 17, {}
  while at < 30:
    count = other.cut(at % EPOCH)
    staged = other.training(None, *divmod(at, EPOCH), count)
    for i, step in enumerate(range(at, at + count)):
      place = staged.positions[i]
      x, y = (array.numpy()[place] for array in staged.stretch[:2])
      batches[step] = x.tobytes() + y.tobytes()
    at += count
  assert batches == {step: whole("map")[step] for step in batches}


def test_a_place_before_the_save_is_read_on_from(whole):
  """A shuffle read to its end proves nothing; the save before it does."""
  made = source("prefetch", False)
  read(made, range(2))
  assert made.position(0, 2)
  read(made, range(2, 24))
  content = made.position(2, 0)
  other = source("prefetch", False, content)
  rest = read(other, range(24, 72))
  assert rest == {at: whole("prefetch")[at] for at in rest}


def test_what_tensorflow_calls_the_seeds_of_a_pass():
  """Were it another name, no place would be proven, and every one skipped."""
  made = source("map", False)
  read(made, range(5))
  assert made.position(0, 5)


@pytest.mark.parametrize(
  ("name", "count"),
  [("map", 1), ("two_shuffles", 2), ("two_sources", 2), ("one_order", 1)],
)
def test_ops_that_draw_seeds_are_counted(name, count):
  assert dataset_graph.draws(PIPELINES[name]()) == count


def test_an_order_without_a_seed_is_proven_by_nothing():
  tf.random.set_seed(None)  # else an order has a seed by it
  assert dataset_graph.draws(batched(examples().shuffle(96))) == 0
  assert dataset_graph.draws(PIPELINES["inside"]()) > 1000
