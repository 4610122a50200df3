"""The chief's part of the rendezvous: accepts the other workers' connections.

Anybody may connect to its port, so a caller has a few seconds and bytes to
prove that it is a missing worker, and at most `_CALLERS` try at once.
"""

import selectors
import time

from trainloop.devices import handshake
from trainloop.devices.links import Link, PeerError, missing, note, plain

_TICK = 1.0  # seconds between signs of life
SILENT = 8.0  # seconds without one
_HEARING = 5.0  # seconds that a caller has to say who it is
_CALLERS = 64  # at once that have not said it; the oldest makes room
_PAUSE = 0.02  # seconds until a failed `accept` is tried again
NOTE = 10.0  # seconds until a line says who is waited for


class _Caller:
  """Who called the chief and has not shown yet that it is a worker."""

  def __init__(self, link):
    self.link, self.until = link, time.monotonic() + _HEARING
    self.hello, self.nonce = None, None

  def greet(self, hello):
    """Answers its hello with the number that its proof must be over."""
    self.hello, self.nonce = hello, handshake.nonce()
    self.link.send({"nonce": self.nonce})


class Gathering:
  """The chief's part: hears whoever calls until all workers are there."""

  def __init__(self, cluster, listener, timeout, secret):
    self._cluster, self._timeout, self._secret = cluster, timeout, secret
    self._listener = listener
    self._workers = handshake.digest(cluster)
    self._links, self._heard = {}, {}  # by index: Link, time of a sign of life
    self._callers = {}  # by Link, the oldest first
    self._reasons = {}  # by index: why one that called is not there
    self._start, self._noted = time.monotonic(), False
    self._selector = selectors.DefaultSelector()
    self._selector.register(listener, selectors.EVENT_READ)

  def until_all(self):
    """{index: Link} of all others.

    Raises:
      MissingPeerError: naming those who did not come in time.
    """
    tick = self._start
    try:
      while absent := self._absent():
        left = self._start + self._timeout - time.monotonic()
        if left <= 0:
          raise missing(self._cluster, absent, self._timeout, self._reasons)
        self._hear(min(left, _TICK / 4))
        if time.monotonic() - tick >= _TICK:
          tick = time.monotonic()
          self._count(tick)
    except PeerError as error:
      self._end({"refused": str(error)})
      raise
    self._end(None)
    for link in self._links.values():
      link.send({"go": True})
    return self._links

  def _absent(self):
    return [i for i in range(1, self._cluster.count) if i not in self._links]

  def _end(self, last):
    """Closes all but the workers' links; theirs too behind a last word."""
    self._selector.close()
    for link in list(self._callers):
      link.close()
    for link in self._links.values() if last else ():
      link.send(last)
      link.close()

  def _hear(self, seconds):
    """Takes in what is said within some seconds, then new callers."""
    ready = [key.data for key, _ in self._selector.select(seconds)]
    # Workers before callers: one that is gone leaves its place to the next.
    for link in sorted(filter(None, ready), key=self._callers.__contains__):
      self._read(link)
    if None in ready:
      self._accept()

  def _accept(self):
    """Takes new callers; where there are too many the oldest goes."""
    for _ in range(_CALLERS // 4):
      try:
        connection, _ = self._listener.accept()
      except BlockingIOError:
        return
      except OSError:  # gone again, or no descriptor is left
        self._drop_oldest()
        time.sleep(_PAUSE)
        return
      if len(self._callers) >= _CALLERS:
        self._drop_oldest()
      link = Link(connection)
      self._callers[link] = _Caller(link)
      self._selector.register(link.socket, selectors.EVENT_READ, link)

  def _read(self, link):
    """What a link has to say: a caller's next message, or a sign of life."""
    messages = link.read()
    index = next((i for i, one in self._links.items() if one is link), None)
    if index is not None:
      self._heard[index] = time.monotonic()
      if messages is None or any(one != {"alive": True} for one in messages):
        self._lose(index, link.why or "it sent what no worker sends")
      return
    if messages is None:
      self._drop(link)
    for message in messages or ():
      if link in self._callers:
        self._listen_to(self._callers[link], message)

  def _listen_to(self, caller, message):
    """A caller's hello, then its proof; whatever else it says, it goes."""
    if caller.hello is None and handshake.is_hello(message):
      caller.greet(message)
      return
    if caller.hello is None or set(message) != {"proof"}:
      self._drop(caller.link)
      return
    index, reason = caller.hello["index"], self._refuse(caller, message)
    if reason:
      caller.link.send({"refused": plain(reason)})
      self._drop(caller.link)
      return
    del self._callers[caller.link]
    self._links[index], self._heard[index] = caller.link, time.monotonic()
    said = self._secret, caller.hello, caller.nonce
    caller.link.send({"proof": handshake.proof("chief", *said)})

  def _refuse(self, caller, message):
    """Why a caller is no worker that is still to come; None if it is one."""
    hello, index = caller.hello, caller.hello["index"]
    said = self._secret, hello, caller.nonce
    expected = 0 < index < self._cluster.count
    if not handshake.holds(message["proof"], "worker", *said):
      if expected:
        self._reasons[index] = "who called in its name has another secret"
      return "the chief has another cluster secret"
    if hello["workers"] != self._workers:
      return f"the chief has the workers {self._cluster.workers}"
    if not expected:
      return f"the chief has no place for a worker {index}"
    if index in self._links:
      return f"{self._cluster.name(index)} runs already"
    return None

  def _count(self, now):
    """Once a tick: a sign of life to the workers; who gave none is out."""
    for caller in list(self._callers.values()):
      if now > caller.until:
        self._drop(caller.link)
    for index, link in list(self._links.items()):
      link.send({"alive": True})
      if now - self._heard[index] > SILENT:
        self._lose(index, f"no sign of life for {SILENT:g} s")
    if not self._noted and now - self._start > NOTE:
      self._noted = True
      who = ", ".join(map(self._cluster.name, self._absent()))
      note(f"waiting for {who}, {self._timeout:g} s at most")

  def _lose(self, index, why):
    """A worker that has come is not there any more; it may call again."""
    self._reasons[index] = f"it had come: {why}"
    link = self._links.pop(index)
    self._selector.unregister(link.socket)
    link.close()

  def _drop_oldest(self):
    """Makes room; those that have said something right are the last to go."""
    oldest = sorted(
      self._callers.values(), key=lambda one: one.hello is not None
    )
    if oldest:
      self._drop(oldest[0].link)

  def _drop(self, link):
    if self._callers.pop(link, None):
      self._selector.unregister(link.socket)
      link.close()
