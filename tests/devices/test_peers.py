"""After the meeting: a peer that is no worker is lost and named, at once."""

import json
import socket
import time

import pytest
import tensorflow as tf
from tensorflow.python.eager import context

import trainloop
from trainloop.devices import links, peers

CLUSTER = trainloop.Cluster(["a:1", "b:2", "c:3"], 0)
GONE = tf.errors.UnavailableError(None, None, "a collective was aborted")


@pytest.fixture
def watch(monkeypatch):
  """A function: timeout -> (a `Peers`, the sockets of workers 1 and 2)."""
  monkeypatch.setattr(peers, "_TICK", 0.05)
  made, ends = [], []

  def start(timeout=60.0):
    pairs = [socket.socketpair() for _ in (1, 2)]
    ends.extend(one for pair in pairs for one in pair)
    mine = {i + 1: links.Link(pair[0]) for i, pair in enumerate(pairs)}
    made.append(peers.Peers(CLUSTER, mine, timeout))
    return made[0], [pair[1] for pair in pairs]

  yield start
  for one in made:
    one.close()
  for one in ends:
    one.close()


def trouble(found, around=None):
  """What a collective that is aborted raises in the end."""
  with (
    pytest.raises(trainloop.PeerError) as caught,
    around or found.guarded(),
  ):
    assert found._is_lost.wait(20), "nobody is lost"
    raise GONE
  assert "\n" not in str(caught.value)
  return str(caught.value)


def line(**message):
  return json.dumps(message).encode() + b"\n"


@pytest.mark.parametrize(
  "data",
  [
    b"[" * 3000 + b"\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\xff\n",
    b"[]\n",
    b"{}\n",
    b"a" * 5000,
    line(alive=1),
    line(alive=False),
    line(alive="true"),
    line(alive=None),
    line(trouble=["fire"]),
    line(stopped=None),
    line(alive=True, bye=True),
    line(go=True),
    line(**{"": True}),
    line(trouble="x" * 5000),
  ],
  ids=lambda data: repr(data[:24]),
)
def test_garbage_from_a_peer(watch, data):
  found, (one, _) = watch()
  one.sendall(data)
  want = "worker 1 at b:2 is lost: it sent what no worker sends"
  assert trouble(found) == want
  # The next one does not wait at all.
  with pytest.raises(trainloop.PeerError, match="worker 1"), found.guarded():
    raise AssertionError("it came in")


def test_the_others_are_told(watch):
  found, (one, two) = watch()
  one.close()
  assert "worker 1 at b:2 is lost: its connection is closed" in trouble(found)
  two.settimeout(20)
  said = ""
  while "is lost" not in said:
    said += two.recv(1000).decode()
  assert "worker 1 at b:2" in said


def test_what_a_peer_says_is_shown_as_one_plain_line(watch):
  found, (one, _) = watch()
  one.sendall(line(trouble="worker 2\n\x1b[2J is lost" + "." * 900))
  said = trouble(found)
  assert said.startswith("worker 2 ?[2J is lost...") and len(said) == 500


def test_silence_while_the_run_starts_has_the_peer_timeout(watch):
  found, (one, _) = watch(timeout=0.15)
  one.sendall(line(starting=True))
  said = trouble(found, found.starting())
  assert "is lost: no sign of life for 0.15 s" in said


def test_alive_for_ever_is_not_enough(watch):
  """Who shows signs of life and never starts holds nobody for ever."""
  found, ends = watch(timeout=0.5)
  ends[1].sendall(line(starting=True))
  until = time.monotonic() + 20
  with pytest.raises(trainloop.PeerError) as caught, found.starting():
    while not found._is_lost.wait(0.02) and time.monotonic() < until:
      for one in ends:
        one.sendall(line(alive=True))
    raise GONE
  want = "worker 1 at b:2 did not start TensorFlow within 0.5 s (peer_timeout)"
  assert str(caught.value) == want


def test_a_start_that_is_over_has_no_limit(watch):
  found, ends = watch(timeout=0.2)
  with found.starting():
    pass
  with found.guarded():
    for _ in range(20):
      for one in ends:
        one.sendall(line(alive=True))
      assert not found._is_lost.wait(0.05)


def test_trouble_before_there_are_collectives(watch, monkeypatch):
  """An abort would set TensorFlow up without them, or raise in the thread."""
  aborted = []
  monkeypatch.setattr(
    context.context(), "abort_collective_ops", lambda *why: aborted.append(why)
  )
  found, (one, _) = watch()
  one.sendall(line(trouble="worker 2 at c:3 is lost: its host burns"))
  assert found._is_lost.wait(20)
  with pytest.raises(trainloop.PeerError, match="burns"), found.starting():
    raise AssertionError("it came in")
  assert not aborted
  # There are some now: what waits in them is freed, once.
  context.ensure_initialized()
  monkeypatch.setattr(context.context(), "_collective_ops_server_def", object())
  for _ in range(2):
    found._abort()
  assert [why[1] for why in aborted] == [found._trouble]


def test_a_peer_that_takes_nothing_does_not_hold_the_watch():
  mine, other = socket.socketpair()
  link = links.Link(mine)
  for _ in range(100_000):
    link.send({"alive": True})
    if link.why:
      break
  assert link.why == "its connection is closed"
  assert link.read() is None
  mine.close()
  other.close()
