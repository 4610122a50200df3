"""Whoever calls the chief's port: garbage, floods, slow senders, replays."""

import contextlib
import json
import socket
import threading
import time

import pytest

import launch_workers
import trainloop
from trainloop.devices import gathering, handshake, links, rendezvous

SECRET = b"a secret"
GARBAGE = {
  "http": b"GET / HTTP/1.1\r\n\r\n",
  "brackets": b"[" * 3000 + b"\n",
  "braces": b'{"a":' * 800 + b"\n",
  "no utf-8": b"\xff\xfe\n",
  "a list": b"[]\n",
  "a number": b"1\n",
  "null": b"null\n",
  "an empty object": b"{}\n",
  "many digits": b'{"hello": ' + b"9" * 4000 + b"}\n",
  "too long": b'{"hello": "' + b"a" * 5000 + b'"}\n',
  "no end": b"a" * 5000,
  "alive": b'{"alive": true}\n',
  "go": b'{"go": true}\n',
  "trouble": b'{"trouble": "fire"}\n',
  "a proof": b'{"proof": "00"}\n',
}


def clusters(count=2):
  workers = launch_workers.addresses(count)
  return [trainloop.Cluster(workers, i) for i in range(count)]


class Meeting(threading.Thread):
  """One worker's `meet` in a thread; `result` is its links, or the error."""

  def __init__(self, cluster, timeout=20.0, secret=b""):
    super().__init__(daemon=True)
    self._given, self.result = (cluster, timeout, secret), None
    self.start()

  def run(self):
    try:
      self.result = rendezvous.meet(*self._given)
    except trainloop.PeerError as error:
      self.result = error

  def end(self):
    self.join(30)
    assert not self.is_alive(), "it hangs"
    return self.result


def place(cluster):
  host, _, port = cluster.workers[0].rpartition(":")
  return host, int(port)


def call(cluster):
  """A connection to the chief, as soon as it listens."""
  until = time.monotonic() + 20
  while True:
    try:
      return socket.create_connection(place(cluster), timeout=20)
    except OSError:
      assert time.monotonic() < until, "nobody listens"
      time.sleep(0.02)


def is_cut_off(stranger):
  with contextlib.suppress(ConnectionError):
    return stranger.recv(100) == b""
  return True


def introduce(cluster, secret=b"", **changes):
  """(a stranger's link that speaks the protocol, the chief's last answer)."""
  link = links.Link(call(cluster))
  hello = {**handshake.hello(cluster), **changes}
  link.send(hello)
  answer = link.wait(time.monotonic() + 20)
  if answer:
    said = secret, hello, answer["nonce"]
    link.send({"proof": handshake.proof("worker", *said)})
    answer = link.wait(time.monotonic() + 20)
  return link, answer


@pytest.fixture(scope="module")
def besieged():
  """{what: whether the chief cut it off}, and whom it met in the end."""
  chief, worker = clusters()
  meeting, cut = Meeting(chief), {}
  for name, data in GARBAGE.items():
    with call(chief) as stranger:
      with contextlib.suppress(ConnectionError):
        stranger.sendall(data)
      cut[name] = is_cut_off(stranger)
  met = Meeting(worker).end()
  return cut, meeting.end(), met


@pytest.mark.parametrize("name", sorted(GARBAGE))
def test_garbage_is_cut_off(besieged, name):
  assert besieged[0][name]


def test_garbage_keeps_nobody_out(besieged):
  assert (list(besieged[1]), list(besieged[2])) == ([1], [0])


@pytest.mark.parametrize(
  ("changes", "answer"),
  [
    ({"index": True}, None),
    ({"index": 1.0}, None),
    ({"index": "1"}, None),
    ({"index": None}, None),
    ({"index": [1]}, None),
    ({"index": 0}, "no place for a worker 0"),
    ({"index": -1}, "no place for a worker -1"),
    ({"index": 3}, "no place for a worker 3"),
    ({"index": 10**30}, "no place for a worker 1000"),
    ({"nonce": "é" * 32}, None),
    ({"nonce": "0" * 31}, None),
    ({"nonce": 7}, None),
    ({"workers": ["a:1"]}, None),
    ({"workers": "0" * 64}, "the chief has the workers"),
    ({"hello": "trainloop workers 1"}, None),
    ({"more": 1}, None),
  ],
  ids=str,
)
def test_a_hello_that_no_worker_says(changes, answer):
  three = clusters(3)
  meeting = Meeting(three[0], 0.6)
  link, given = introduce(three[1], **changes)
  link.close()
  assert (given and answer in given["refused"]) or given is answer is None
  error = str(meeting.end())
  assert "worker 1 at" in error and "worker 2 at" in error


def test_a_flood_keeps_nobody_out():
  chief, worker = clusters()
  meeting = Meeting(chief)
  flood = [call(chief) for _ in range(200)]
  for i, one in enumerate(flood):
    with contextlib.suppress(ConnectionError):
      one.sendall(b'{"hello": "train' if i % 2 else b"")
  for one in flood[: 200 - gathering._CALLERS]:  # the oldest made room
    assert is_cut_off(one)
  assert list(Meeting(worker).end()) == [0]
  assert list(meeting.end()) == [1]
  for one in flood:
    one.close()


def test_a_flood_that_does_not_end():
  """New callers all the time, two by two, while the worker comes."""
  chief, worker = clusters()
  meeting, over = Meeting(chief), threading.Event()

  def flood():
    mine = []
    while not over.is_set():
      with contextlib.suppress(OSError):
        mine.append(socket.create_connection(place(chief), timeout=1))
      if len(mine) > 100:
        mine.pop(0).close()
    for one in mine:
      one.close()

  threads = [threading.Thread(target=flood) for _ in range(2)]
  for thread in threads:
    thread.start()
  try:
    assert list(Meeting(worker).end()) == [0]
    assert list(meeting.end()) == [1]
  finally:
    over.set()
    for thread in threads:
      thread.join()


def test_a_slow_sender_has_its_time_and_no_more(monkeypatch):
  monkeypatch.setattr(gathering, "_HEARING", 0.3)
  chief, worker = clusters()
  meeting = Meeting(chief)
  with call(chief) as slow:
    slow.settimeout(0.1)
    ended = False
    for _ in range(200):
      try:
        slow.sendall(b"{")
        ended = slow.recv(1) == b""
      except TimeoutError:
        continue
      except ConnectionError:
        ended = True
      break
    assert ended
  assert list(Meeting(worker).end()) == [0]
  assert list(meeting.end()) == [1]


def test_what_was_heard_before_is_of_no_use(monkeypatch):
  chief, worker = clusters()
  said, send = [], links.Link.send
  monkeypatch.setattr(
    links.Link, "send", lambda link, one: (said.append(one), send(link, one))
  )
  first = Meeting(chief, secret=SECRET)
  assert list(Meeting(worker, secret=SECRET).end()) == [0]
  for link in first.end().values():
    link.close()
  monkeypatch.undo()
  again = Meeting(chief, 1.0, SECRET)
  with call(chief) as replay:
    for one in said:
      if {"hello", "proof"} & set(one):
        with contextlib.suppress(ConnectionError):
          replay.sendall(json.dumps(one).encode() + b"\n")
    answers = replay.makefile().read().splitlines()
  assert "another cluster secret" in answers[-1]
  assert "worker 1 at" in str(again.end())


@pytest.mark.parametrize("secret", [b"", b"guessed"])
def test_a_stranger_takes_no_place(secret):
  chief, worker = clusters()
  meeting = Meeting(chief, secret=SECRET)
  link, answer = introduce(worker, secret)
  assert answer == {"refused": "the chief has another cluster secret"}
  link.close()
  assert list(Meeting(worker, secret=SECRET).end()) == [0]
  assert list(meeting.end()) == [1]


def test_another_secret_is_told_to_both():
  chief, worker = clusters()
  meeting = Meeting(chief, 1.0, SECRET)
  assert "the chief has another cluster secret" in str(Meeting(worker).end())
  error = str(meeting.end())
  assert "worker 1 at" in error and "has another secret) did not" in error


def test_a_stranger_in_the_chief_s_place(monkeypatch):
  """Who can't show the secret is no chief, whatever it answers."""
  chief, worker = clusters()
  holds = handshake.holds
  monkeypatch.setattr(
    handshake,
    "holds",
    lambda given, role, *said: role == "worker" or holds(given, role, *said),
  )
  stranger = Meeting(chief, 1.5, b"guessed")
  error = str(Meeting(worker, 1.0, SECRET).end())
  assert f"worker 0 at {chief.workers[0]} (who answered there has" in error
  stranger.end()


def test_a_place_is_taken_as_long_as_its_worker_lives():
  three = clusters(3)
  meeting = Meeting(three[0])
  first, answer = introduce(three[1])
  assert set(answer) == {"proof"}
  second, answer = introduce(three[1])
  assert "runs already" in answer["refused"]
  second.close()
  first.close()
  worker = Meeting(three[1])
  assert list(Meeting(three[2]).end()) == [0]
  assert list(worker.end()) == [0]
  assert sorted(meeting.end()) == [1, 2]


def test_a_frozen_worker_is_named(monkeypatch):
  """It came, gives no sign of life, and the chief tells the others."""
  monkeypatch.setattr(gathering, "SILENT", 0.5)
  monkeypatch.setattr(gathering, "_TICK", 0.1)
  three = clusters(3)
  meeting = Meeting(three[0], 2.0)
  frozen, _ = introduce(three[1])
  while frozen.wait(time.monotonic() + 20):
    pass  # the chief's signs of life, which it does not answer
  other = Meeting(three[2], 20.0)
  want = f"worker 1 at {three[1].workers[1]} (it had come: no sign of life"
  for one in (meeting, other):
    error = str(one.end())
    assert want in error and "worker 2 at" not in error
  frozen.close()


@pytest.mark.parametrize("answers", [False, True])
def test_a_frozen_chief_is_named(monkeypatch, answers):
  """One that never answers, and one that answered before it froze."""
  monkeypatch.setattr(gathering, "SILENT", 0.3)
  monkeypatch.setattr(gathering.Gathering, "_count", lambda self, now: None)
  three = clusters(3)
  with contextlib.ExitStack() as stack:
    if answers:
      meeting = Meeting(three[0], 2.0)
    else:
      stack.enter_context(
        socket.create_server(place(three[0]), reuse_port=False)
      )
    error = str(Meeting(three[1], 0.8).end())
    assert f"worker 0 at {three[0].workers[0]}" in error
    assert "within 0.8 s (peer_timeout)" in error
    assert ("fell silent" in error) is answers
    if answers:
      meeting.end()


def test_who_waits_says_so(monkeypatch, capsys):
  monkeypatch.setattr(gathering, "NOTE", 0.1)
  monkeypatch.setattr(gathering, "_TICK", 0.1)
  chief, worker = clusters()
  Meeting(chief, 0.8).end()
  want = f"waiting for worker 1 at {worker.workers[1]}, 0.8 s at most\n"
  assert capsys.readouterr().err == want
  with socket.create_server(place(chief)):  # frozen: it never answers
    Meeting(worker, 0.8).end()
  want = f"waiting for worker 0 at {chief.workers[0]}, 0.8 s at most\n"
  assert capsys.readouterr().err == want


def test_the_chief_listens_on_its_own_address_alone():
  _, port = place(clusters()[0])
  two = [
    trainloop.Cluster([f"127.0.0.2:{port}", "127.0.0.3:9"], i) for i in (0, 1)
  ]
  meeting = Meeting(two[0])
  call(two[0]).close()
  with pytest.raises(ConnectionRefusedError):
    socket.create_connection(("127.0.0.1", port), timeout=5)
  assert list(Meeting(two[1]).end()) == [0]
  assert list(meeting.end()) == [1]


@pytest.mark.parametrize(
  ("address", "said"),
  [
    ("127.0.1.1", "'node0' is 127.0.1.1 here, which others do not reach"),
    ("192.0.2.1", "'node0' is 192.0.2.1 here, none of them"),
    (None, "'node0' is not known here"),
  ],
)
def test_a_name_of_no_own_address(monkeypatch, capsys, address, said):
  """Behind NAT or a service; and 127.0.1.1, as Debian names a machine."""
  known = socket.getaddrinfo

  def ask(host, *args, **options):
    if host == "node0" and address is None:
      raise socket.gaierror("Name or service not known")
    return known(address if host == "node0" else host, *args, **options)

  monkeypatch.setattr(socket, "getaddrinfo", ask)
  _, port = place(clusters()[0])
  cluster = trainloop.Cluster([f"node0:{port}", "127.0.0.1:9"], 0)
  listener = rendezvous._listen(cluster)
  assert listener.getsockname() == ("0.0.0.0", port)
  listener.close()
  error = capsys.readouterr().err
  assert f"listens on all of this machine's addresses: {said}\n" in error
