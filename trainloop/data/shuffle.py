"""A stateless shuffle of indices, on the host: start anywhere, at no cost.

A keyed permutation of 0 ... size - 1, for whole vectors at a time, some 15 ns
an index. `tf.random.experimental.index_shuffle` is not used: its keys are cut
to half a block, so that at 100 to 10,000 examples epoch e + 256 repeats the
order of epoch e, and over 2^k + 1 indices (k even, >= 16) it repeats an index.
`ArrayData` cuts its batches out of the permutation.
"""

import functools

import numpy as np

_ROUNDS = 6


def shuffle(index, seed, size):
  """Where some indices stand in a permutation of 0 ... size - 1.

  A block of 2 x w bits, the smallest that holds all indices, goes through six
  Feistel rounds (L, R) -> (R, L xor F(R)), F(R) = ((R + a) m mod 2^64) >> (64 -
  w), with keys a and odd m of 64 bits a round; until it is below `size`.

  Args:
    index: int64 vector in [0, size).
    seed: two ints >= 0, of which the lower 64 bits count, each.
    size: int >= 1.

  Returns:
    int64 vector like `index`.

  Luby and Rackoff 1988, "How to Construct Pseudorandom Permutations from
  Pseudorandom Functions"; Black and Rogaway 2002, "Ciphers with Arbitrary
  Finite Domains", for cycle walking; Dietzfelbinger et al. 1997, "A Reliable
  Randomized Algorithm for the Closest-Pair Problem", for F.
  """
  if size == 1:
    return np.zeros_like(index)
  word = (int(size - 1).bit_length() + 1) // 2
  keys = _keys(*map(int, seed))
  places = _permute(index, keys, word)
  outside = np.flatnonzero(places >= size)
  while outside.size:  # walk on until inside; more than a quarter arrives
    again = _permute(places[outside], keys, word)
    places[outside] = again
    outside = outside[again >= size]
  return places


@functools.lru_cache(maxsize=8)
def _keys(seed, epoch):
  """(a, m) of each round, uint64 scalars; any bit of a seed moves all."""
  # Words of a fixed number: else (2^32 + 5, 0) would be the same as (5, 1).
  words = [part >> by & 0xFFFFFFFF for part in (seed, epoch) for by in (0, 32)]
  state = np.random.SeedSequence(words).generate_state(2 * _ROUNDS, np.uint64)
  return [(a, m | np.uint64(1)) for a, m in state.reshape(_ROUNDS, 2)]


def _permute(value, keys, word):
  """All rounds on int64 values of 2 x `word` bits."""
  value = value.astype(np.uint64)
  shift = np.uint64(word)
  left, right = value >> shift, value & np.uint64((1 << word) - 1)
  down = np.uint64(64 - word)
  for a, m in keys:
    mixed = right + a
    mixed *= m
    mixed >>= down
    mixed ^= left
    left, right = right, mixed
  return (left << shift | right).astype(np.int64)
