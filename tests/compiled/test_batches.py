"""What a compiled call knows of its batches."""

import numpy as np
import pytest
import tensorflow as tf

import trainloop
from support import small
from trainloop.compiled.batches import Feed
from trainloop.data import source as data_lib


@pytest.mark.parametrize("whole", [False, True])
def test_a_graph_knows_the_size_of_whole_batches(whole):
  strategy, seen = tf.distribute.get_strategy(), []

  def body(batches):
    (x, y, _), count = batches(0)
    seen.append((x.shape[0], y.shape[0]))
    return tf.reduce_sum(x), count.examples

  feed = Feed(strategy, whole=whole)
  for batch_size in (8, 8, 16):
    source = data_lib.adapt("data", small.data(batch_size=batch_size))
    _, examples = feed.call(body, next(iter(source.evaluation(strategy))))
    assert int(examples) == batch_size
  assert seen == ([(8, 8), (16, 16)] if whole else [(None, None)])


@pytest.mark.parametrize("drops", [False, True])
def test_only_data_without_a_partial_batch_are_whole(drops):
  data = small.data(44, 8, drop_remainder=drops)
  loop = small.loop(compile="graph")
  history = loop.fit(data, 2)
  assert len(history.rows["step"]) == (10 if drops else 12)
  assert loop.traces == 1
  (window,) = loop.programs._windows.values()
  assert window._feed._whole == drops


def test_partial_batches_are_those_of_a_window_that_knows_none():
  """Whole or not, an update is the same but for rounding."""
  ends, arrays = [], small.arrays(97)
  for examples in (96, 97):  # the last one has a partial batch, too
    part = [array[:examples] for array in arrays]
    data = trainloop.ArrayData(*part, batch_size=8, shuffle=False)
    loop = small.loop(compile="graph", steps_per_loop=12)
    history = loop.fit(data, 1)
    ends.append(history.rows["loss"][:12])
  np.testing.assert_allclose(*ends, rtol=1e-6)
