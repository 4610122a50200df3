"""The shuffle of indices: a permutation, and another one a seed and epoch."""

import itertools

import numpy as np
import pytest

from trainloop.data.shuffle import shuffle

# Small ones, and both sides of each change of the block's size.
SIZES = [1, 2, 3, 4, 5, 17, 100, 255, 256, 257, 1000, 10000, 65536, 65537]
SIZES += [2**18 + 1, 300000]
# What differs between two keys; the low bits alone were asked once.
APART = [1, 2**8, 2**16, 2**31, 2**32, 2**40, 2**63]


def order(seed, epoch, size):
  return shuffle(np.arange(size, dtype=np.int64), (seed, epoch), size)


@pytest.mark.parametrize("size", SIZES)
def test_every_index_comes_once(size):
  found = order(3, 4, size)
  assert found.dtype == np.int64
  np.testing.assert_array_equal(np.sort(found), np.arange(size))


@pytest.mark.parametrize("size", [2**31 + 11, 2**40 + 7, 2**62 - 1])
def test_large_ones_stay_inside_and_differ(size):
  index = np.arange(size - 5000, size, dtype=np.int64)
  found = shuffle(index, (3, 4), size)
  assert found.min() >= 0 and found.max() < size
  assert len(np.unique(found)) == 5000


@pytest.mark.parametrize("size", [20, 100, 1000, 10000])
def test_no_order_comes_again(size):
  orders = [order(0, epoch, size).tobytes() for epoch in range(1500)]
  orders += [order(seed, 0, size).tobytes() for seed in range(1, 1500)]
  assert len(set(orders)) == len(orders)


@pytest.mark.parametrize("apart", APART)
def test_every_bit_of_a_key_counts(apart):
  base = order(5, 9, 500)
  others = [order(5 + apart, 9, 500), order(5, 9 + apart, 500)]
  others += [order(9, 5, 500)]
  for other in others:  # as many stay where they are as by chance: one
    assert np.sum(base == other) < 10


def test_words_of_seed_and_epoch_are_kept_apart():
  assert not np.array_equal(order(2**32 + 5, 0, 100), order(5, 1, 100))
  assert not np.array_equal(order(5, 2**32, 100), order(5 + 2**32, 0, 100))


@pytest.mark.parametrize("size", [2, 3, 4])
def test_all_orders_of_a_few_are_as_likely(size):
  draws = 6000
  names = {p: i for i, p in enumerate(itertools.permutations(range(size)))}
  drawn = [names[tuple(order(7, e, size))] for e in range(draws)]
  counts = np.bincount(drawn, minlength=len(names))
  assert _deviation(counts, draws / len(names), len(names) - 1) < 5


@pytest.mark.parametrize("size", [10, 37, 100])
def test_every_place_is_as_likely_for_every_index(size):
  draws = 5000
  counts = np.zeros((size, size))
  for epoch in range(draws):
    counts[np.arange(size), order(1, epoch, size)] += 1
  free = (size - 1) ** 2
  assert _deviation(counts, draws / size, free) < 5


def _deviation(counts, expected, free):
  """How far chi-square is from its mean, in its standard deviations."""
  chi_square = np.sum((counts - expected) ** 2) / expected
  return abs(chi_square - free) / np.sqrt(2 * free)


@pytest.mark.parametrize("size", [64, 1000, 4096])
def test_neighbours_do_not_stay_neighbours(size):
  """Distances between what follows on each other are as by chance."""
  gaps = [np.abs(np.diff(order(2, e, size))).mean() for e in range(200)]
  assert abs(np.mean(gaps) / ((size + 1) / 3) - 1) < 0.02


def test_any_part_is_a_part_of_the_whole():
  whole = order(1, 2, 5000)
  part = shuffle(np.arange(1234, 1300, dtype=np.int64), (1, 2), 5000)
  np.testing.assert_array_equal(part, whole[1234:1300])


def test_a_checkpoint_relies_on_these():
  """Another order would make another run of one that is gone on with."""
  assert order(0, 0, 10).tolist() == GOLDEN[0]
  assert shuffle(np.arange(3), (7, 11), 10**6).tolist() == GOLDEN[1]
  assert shuffle(np.arange(3), (7, 11), 10**12).tolist() == GOLDEN[2]


GOLDEN = [
  [4, 9, 2, 8, 0, 6, 3, 7, 1, 5],
  [984071, 366299, 599260],
  [814436797347, 973046286928, 726577636428],
]
