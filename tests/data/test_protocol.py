"""Every data source has what the loop asks of one, and gives named batches."""

import inspect
import typing

import numpy as np
import pytest
import tensorflow as tf

import trainloop
from support import small
from trainloop.data import protocol, staging
from trainloop.data.source import DatasetData

STRATEGY = tf.distribute.get_strategy()
X, Y = small.arrays(20)


def dataset(**options):
  return tf.data.Dataset.from_tensor_slices((X, Y)).batch(8, **options)


SOURCES = {
  "arrays": lambda: trainloop.ArrayData(X, Y, batch_size=8),
  "dataset": lambda: DatasetData(dataset()),
  "endless": lambda: DatasetData(dataset().repeat(), steps_per_epoch=3),
  "sharded": lambda: trainloop.ShardedData(lambda context: dataset(), 3),
}
METHODS = sorted(
  name
  for name, member in inspect.getmembers(protocol.Source, inspect.isfunction)
  if not name.startswith("_")
)
VALUES = sorted(typing.get_type_hints(protocol.Source))


@pytest.fixture(scope="module")
def sources():
  made = {name: make() for name, make in SOURCES.items()}
  for source in made.values():
    source.place(False, staging.Memory())
  return made


def test_the_protocol_is_all_that_there_is():
  assert len(METHODS) == 12 and len(VALUES) == 10


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SOURCES)
def test_every_source_has_each_method(sources, name, method):
  want = inspect.signature(getattr(protocol.Source, method)).parameters
  has = inspect.signature(getattr(type(sources[name]), method)).parameters
  assert list(has.values()) == list(want.values())


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", SOURCES)
def test_every_source_has_each_value(sources, name, value):
  kind = typing.get_type_hints(protocol.Source)[value]
  found = getattr(sources[name], value)
  kinds = typing.get_args(kind) or (kind,)
  assert kind is typing.Any or isinstance(found, kinds), type(found)


@pytest.mark.parametrize("name", SOURCES)
def test_training_and_evaluation_give_named_batches(sources, name):
  source = sources[name]
  source.begin(0)
  kind = protocol.Resident if name == "arrays" else protocol.Stream
  batches = source.training(STRATEGY, 0, 0, 2)
  assert type(batches) is kind and batches.length == 2
  parts = source.evaluation(STRATEGY)
  assert parts and {type(part) for part in parts} == {kind}
  assert source.again().training(STRATEGY, 0, 0, 1).length == 1


@pytest.mark.parametrize(
  "source",
  [
    trainloop.ArrayData(X, Y, batch_size=8),
    DatasetData(dataset(drop_remainder=True)),
  ],
  ids=["arrays", "dataset"],
)
def test_what_is_staged_is_named_so(source):
  source.place(True, staging.Memory(resident_mb=1e-6))
  source.stage(2, room=3)
  source.begin(0, epochs=1)
  batches = source.training(STRATEGY, 0, 0, 2)
  assert type(batches) is protocol.Staged and batches.length == 2
  assert batches.positions.tolist() == [0, 1]
  assert batches.stretch[0].shape == (3, 8, 8)


def test_room_keeps_the_batches():
  indices = np.arange(6, dtype=np.int32).reshape(3, 2)
  padded = protocol.Resident((), indices).padded(5).indices
  assert padded.tolist() == [[0, 1], [2, 3], [4, 5], [0, 0], [0, 0]]
  staged = protocol.Staged((), np.int32([4, 5])).padded(3)
  assert staged.positions.tolist() == [4, 5, 0]
  assert staged.positions.dtype == np.int32


@pytest.mark.parametrize(
  ("examples", "drops", "partial"),
  [
    (16, True, (False, False)),
    (20, True, (False, True)),
    (20, False, (True, True)),
    (5, True, (False, True)),
  ],
)
def test_a_partial_batch_is_known(examples, drops, partial):
  source = small.data(examples, 8, drop_remainder=drops)
  found = tuple(source.has_partial_batch(one) for one in (False, True))
  assert found == partial and source.crosses is not partial[0]
