"""The shuffle of indices: TensorFlow's own permutation, made faster."""

import numpy as np
import pytest
import tensorflow as tf

from trainloop.shuffle import shuffle

SEEDS = [(0, 0), (5, 9), (2**31 + 7, 3), (2**40 + 3, 77)]
# Both ways of mixing, and both sides of each change of the block's size.
SIZES = [1, 2, 3, 10, 255, 256, 25600, 65535, 65536, 65538, 70000, 262143]
SIZES += [262144, 262146, 2**20, 3_000_000, 2**32, 2**33 + 5, 10**12]


@pytest.mark.parametrize("size", SIZES)
def test_it_is_the_op_of_tensorflow(size):
  last = np.arange(max(0, size - 3000), size, dtype=np.int64)
  for seed in SEEDS:
    expected = tf.random.experimental.index_shuffle(
      last, tf.constant(seed, tf.int64), tf.constant(size - 1, tf.int64)
    )
    np.testing.assert_array_equal(shuffle(last, seed, size), expected)


@pytest.mark.parametrize("size", [1, 2, 1000, 65536, 65537, 2**18 + 1, 300000])
def test_every_index_comes_once(size):
  found = shuffle(np.arange(size, dtype=np.int64), (3, 4), size)
  assert found.dtype == np.int64
  np.testing.assert_array_equal(np.sort(found), np.arange(size))


def test_where_the_op_repeats_an_index_this_does_not():
  """2^16 + 1 indices: one more than its block has room for."""
  index = tf.range(65537, dtype=tf.int64)
  seed, last = tf.constant([1, 2], tf.int64), tf.constant(65536, tf.int64)
  op = tf.random.experimental.index_shuffle(index, seed, last)
  assert len(np.unique(op)) < 65537, "repaired there: nothing differs now"


def test_any_part_is_a_part_of_the_whole():
  whole = shuffle(np.arange(5000, dtype=np.int64), (1, 2), 5000)
  part = shuffle(np.arange(1234, 1300, dtype=np.int64), (1, 2), 5000)
  np.testing.assert_array_equal(part, whole[1234:1300])
