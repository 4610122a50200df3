"""The gradients' norm, plain and folded."""

import numpy as np
import pytest
import tensorflow as tf

from trainloop.compiled import gradient_norm

SHAPES = [(), (1,), (31,), (33, 1), (64, 10), (4097,), (8192,), (91, 93)]
SHAPES += [(3, 50, 701)]


@pytest.mark.parametrize("folds", [False, True])
@pytest.mark.parametrize("shapes", [[s] for s in SHAPES] + [SHAPES])
def test_it_is_the_norm(shapes, folds):
  rng = np.random.default_rng(0)
  arrays = [rng.normal(size=s).astype(np.float32) for s in shapes]
  expected = np.sqrt(sum(np.sum(a.astype(np.float64) ** 2) for a in arrays))
  found = gradient_norm.global_norm([tf.constant(a) for a in arrays], folds)
  assert found.dtype == tf.float32
  np.testing.assert_allclose(found, expected, rtol=2e-6)


@pytest.mark.parametrize("folds", [False, True])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", [0, 9999])
def test_one_bad_number_shows(bad, where, folds):
  array = np.zeros(10000, np.float32)
  array[where] = bad
  assert not np.isfinite(gradient_norm.global_norm([tf.constant(array)], folds))
