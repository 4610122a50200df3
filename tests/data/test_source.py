"""The order of examples: a pure function of seed, epoch and step."""

import numpy as np
import pytest
import tensorflow as tf

import trainloop
from support import small
from trainloop.data import staging
from trainloop.data.source import DatasetData

STRATEGY = tf.distribute.get_strategy()


def order(data, epoch, first=0, count=None):
  left = data.steps_per_epoch - first
  count = min(left, data.cut(first)) if count is None else count
  return data.training(STRATEGY, epoch, first, count).indices


def test_an_epoch_is_a_permutation_and_epochs_differ():
  data = small.data(96, 8)
  epochs = [order(data, e) for e in range(3)]
  for found in epochs:
    assert found.shape == (12, 8) and found.dtype == np.int32
    assert sorted(found.ravel()) == list(range(96))
  assert (epochs[0] != epochs[1]).any() and (epochs[1] != epochs[2]).any()


def test_any_window_is_a_slice_of_the_epoch():
  data = small.data(96, 8, seed=3)
  whole = order(data, 5)
  for first, count in ((0, 1), (3, 4), (11, 1), (7, 5)):
    part = order(data, 5, first, count)
    np.testing.assert_array_equal(part, whole[first : first + count])


def test_the_seed_and_nothing_else_decides():
  one, same, other = (small.data(96, 8, seed=s) for s in (1, 1, 2))
  np.testing.assert_array_equal(order(one, 4), order(same, 4))
  assert (order(one, 4) != order(other, 4)).any()


def test_unshuffled_keeps_the_order():
  data = small.data(20, 8, shuffle=False, drop_remainder=False)
  assert order(data, 3).ravel().tolist() == list(range(16))
  assert order(data, 3, 2).tolist() == [[16, 17, 18, 19]]
  assert (data.steps_per_epoch, data.num_examples) == (3, 20)


def test_evaluation_sees_each_example_once_in_order():
  for examples in (5, 8, 20):
    data = small.data(examples, 8)
    blocks = [p.indices.ravel() for p in data.evaluation(STRATEGY)]
    assert np.concatenate(blocks).tolist() == list(range(examples))
    assert all(len(block) for block in blocks)


@pytest.mark.parametrize("examples", [5, 8, 20, 2100])
def test_for_xla_its_shapes_do_not_depend_on_the_length(examples):
  data, other = small.data(examples, 8), small.data(16, 8)
  for one in (data, other):
    one.place(True, staging.Memory())
  parts = data.evaluation(STRATEGY)
  seen = []
  for part in parts:
    targets = part.stretch[1].numpy()[: part.length]
    seen += targets.ravel().tolist()
    assert part.positions.tolist() == list(range(part.length))
  assert seen == small.arrays(examples)[1].tolist()
  (want,) = other.evaluation(STRATEGY)
  whole = [part for part in parts if part.stretch[0].shape[1] == 8]
  assert {part.room for part in whole} <= {want.room}
  assert len(whole) == -(-(examples // 8) // want.room)
  assert data.evaluation(STRATEGY) is parts, "copied again"


def test_a_later_epoch_costs_nothing_more():
  data = small.data(96, 8)
  assert sorted(order(data, 10**9).ravel()) == list(range(96))


def test_lists_and_float64_become_float32():
  data = trainloop.ArrayData([[1.0], [2.0]], [0, 1], batch_size=1)
  assert data.arrays[0].dtype == np.float32
  assert data.arrays[1].tolist() == [0, 1]


def test_one_example():
  data = trainloop.ArrayData([[1.0]], [0], batch_size=1)
  assert order(data, 0).tolist() == [[0]]


def test_a_dataset_has_up_to_three_parts():
  four = tf.data.Dataset.from_tensors((1, 2, 3, 4)).batch(1)
  with pytest.raises(ValueError, match="`data` must be a dataset of x, "):
    DatasetData(four)


def test_an_endless_dataset_goes_on_over_epochs():
  data = DatasetData(
    tf.data.Dataset.range(10).map(lambda i: (i, i)).batch(1), steps_per_epoch=3
  )
  seen = []
  for epoch in range(4):
    stream = data.training(STRATEGY, epoch, 0, 3)
    seen += [int(next(stream.iterator)[0][0]) for _ in range(stream.length)]
  assert seen == [*range(10), 0, 1]
