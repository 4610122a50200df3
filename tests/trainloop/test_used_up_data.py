"""A dataset that gives its batches only once is named, before step 1."""

import numpy as np
import pytest
import tensorflow as tf

import small


def _once():
  rows = iter([(np.ones(8, "float32"), np.int64(0))] * 16)
  spec = (tf.TensorSpec((8,), tf.float32), tf.TensorSpec((), tf.int64))
  data = tf.data.Dataset.from_generator(lambda: rows, output_signature=spec)
  return data.batch(8)


@pytest.mark.parametrize("name", ["data", "validation", "evaluate"])
def test_a_generator_that_one_pass_uses_up(name):
  loop, good = small.loop(), small.data()
  told = "must be one that can be read again.*got 'no batch in a second pass'"
  with pytest.raises(ValueError, match=told) as caught:
    if name == "data":
      loop.fit(_once(), 1)
    elif name == "validation":
      loop.fit(good, 1, validation=_once())
    else:
      loop.evaluate(_once())
  assert "\n" not in str(caught.value)
