"""Which strategy a name gives, which are refused, and what TensorFlow keeps."""

import inspect
import json

import pytest
import tensorflow as tf
from tensorflow.python.eager import context

import trainloop
from trainloop.devices import peers, strategies


class CentralStorageStrategy(tf.distribute.Strategy):
  """Has the name, and is never used."""

  def __init__(self):
    self._extended = None


class ParameterServerStrategyV2(CentralStorageStrategy):
  pass


@pytest.mark.parametrize(
  ("kind", "reason"),
  [
    (CentralStorageStrategy, "keeps no weights on the replicas"),
    (ParameterServerStrategyV2, "updates without step"),
  ],
)
def test_refused_with_the_reason(kind, reason):
  with pytest.raises(ValueError, match=reason):
    strategies.resolve(kind())


def test_tensorflow_still_calls_them_so():
  refused = {
    tf.distribute.experimental.CentralStorageStrategy,
    tf.distribute.ParameterServerStrategy,
  }
  for strategy in refused:
    names = {one.__name__ for one in strategy.__mro__}
    assert names & set(strategies._REFUSED), names


def test_auto_is_one_device_without_workers(monkeypatch):
  assert strategies.strategy_for("auto").num_replicas_in_sync == 1
  one = {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}
  monkeypatch.setenv("TF_CONFIG", json.dumps(one))
  assert strategies.strategy_for("auto").num_replicas_in_sync == 1


def test_auto_waits_for_the_workers_of_tf_config(monkeypatch):
  two = {
    "cluster": {"worker": ["127.0.0.1:47771", "127.0.0.1:47772"]},
    "task": {"type": "worker", "index": 1},
  }
  monkeypatch.setenv("TF_CONFIG", json.dumps(two))
  with pytest.raises(trainloop.MissingPeerError, match="worker 0 at 127"):
    strategies.strategy_for("auto", peer_timeout=0.3)
  assert strategies.strategy_for("one_device").num_replicas_in_sync == 1


@pytest.mark.parametrize(
  ("name", "said"),
  [
    ("many", "one of auto, one_device, mirrored, multi_worker, tpu"),
    ("multi_worker", "described by --workers"),
    ("tpu", "sees no TPU"),
  ],
)
def test_what_is_not_there_is_refused(name, said):
  with pytest.raises(ValueError, match=said):
    strategies.strategy_for(name)


def test_the_private_parts_are_still_there():
  """What keeps the coordination service away, and aborts collectives."""
  found = context.context()
  configure = inspect.signature(found.configure_coordination_service)
  assert "service_type" in configure.parameters
  abort = inspect.signature(found.abort_collective_ops)
  assert list(abort.parameters) == ["code", "message"]
  assert {"_initialized", "_collective_ops_server_def"} <= set(vars(found))


def test_one_process_has_no_peers():
  with peers.watched():
    assert type(peers.current()) is peers.NoPeers
