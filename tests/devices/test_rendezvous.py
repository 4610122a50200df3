"""Workers meet before TensorFlow waits for them; who is missing is named."""

import json
import socket
import threading
import time

import pytest

import launch_workers
import trainloop
from trainloop.devices import rendezvous


def clusters(count):
  workers = launch_workers.addresses(count)
  return [trainloop.Cluster(workers, i) for i in range(count)]


def meet(several, timeout):
  """{index: links or error} of workers that meet in threads."""
  found = {}

  def one(cluster):
    try:
      found[cluster.index] = rendezvous.meet(cluster, timeout)
    except trainloop.PeerError as error:
      found[cluster.index] = error

  threads = [threading.Thread(target=one, args=(c,)) for c in several]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join(30)
  return found


def test_three_meet_and_the_port_is_free_again():
  three = clusters(3)
  found = meet(three, 20)
  assert {i: sorted(links) for i, links in found.items()} == {
    0: [1, 2],
    1: [0],
    2: [0],
  }
  found[0][1].send({"alive": True})
  assert found[1][0].wait(time.monotonic() + 20) == {"alive": True}
  # As TensorFlow does, while the connections are open.
  with socket.socket() as taken:
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(("", int(three[0].workers[0].split(":")[1])))
    taken.listen()


def test_the_missing_one_is_named_everywhere():
  three = clusters(3)
  found = meet(three[:2], 0.5)
  want = f"worker 2 at {three[2].workers[2]} did not come within 0.5 s"
  for index in (0, 1):
    assert want in str(found[index])
    assert isinstance(found[index], trainloop.MissingPeerError)


def test_a_missing_chief_is_named():
  two = clusters(2)
  with pytest.raises(trainloop.MissingPeerError) as caught:
    rendezvous.meet(two[1], 0.5)
  assert f"worker 0 at {two[0].workers[0]} did not come" in str(caught.value)


def test_a_port_in_use_is_named():
  two = clusters(2)
  for cluster in two:
    with socket.socket() as taken:
      taken.bind(("", int(cluster.workers[cluster.index].split(":")[1])))
      taken.listen()
      with pytest.raises(trainloop.MissingPeerError, match="is in use"):
        rendezvous.meet(cluster, 0.5)


def test_other_workers_and_strangers_are_not_let_in():
  three = clusters(3)
  # One that was started with another list.
  stray = trainloop.Cluster([three[0].workers[0], three[1].workers[1]], 1)
  chief = {}
  thread = threading.Thread(target=lambda: chief.update(meet(three[:1], 2)))
  thread.start()
  with pytest.raises(trainloop.MissingPeerError, match="the chief has"):
    rendezvous.meet(stray, 5)
  address = ("127.0.0.1", int(three[0].workers[0].split(":")[1]))
  for said in (b"GET / HTTP/1.1\r\n\r\n", json.dumps([]).encode() + b"\n"):
    with socket.create_connection(address) as stranger:
      stranger.sendall(said)
      assert stranger.recv(100) == b""
  thread.join(30)
  assert "worker 1 at" in str(chief[0]) and "worker 2 at" in str(chief[0])
