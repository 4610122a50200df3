"""Events on the wire, against TensorBoard's own protos."""

import numpy as np
import pytest
from tensorboard.compat.proto import event_pb2

from trainloop.workdir.tensorboard import row_encoding

TAGS = ("loss", "hyperparameters/learning_rate", "x" * 200)


@pytest.mark.parametrize(
  "first", [0, 120, 2**14 - 3, 2**21 - 3, 2**31 - 3, 2**40]
)
@pytest.mark.parametrize("every", [1, 100])
def test_equal_to_the_protos(first, every):
  rng = np.random.default_rng(0)
  table = rng.normal(size=(12, 3)).astype(np.float32)
  table[3, 1] = np.nan
  times = 1.7e9 + rng.random(12)
  found = list(
    row_encoding.encode(times, first + every * np.arange(12), TAGS, table)
  )
  assert len(found) == 12
  for i, text in enumerate(found):
    event = event_pb2.Event.FromString(text)
    assert event.step == first + i * every
    assert event.wall_time == times[i]
    assert [value.tag for value in event.summary.value] == list(TAGS)
    values = [value.simple_value for value in event.summary.value]
    assert np.array(values, np.float32).tobytes() == table[i].tobytes()


def test_no_rows():
  assert (
    list(row_encoding.encode(np.zeros(0), np.arange(0), TAGS, np.zeros((0, 3))))
    == []
  )
