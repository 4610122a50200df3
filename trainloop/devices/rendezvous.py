"""The workers meet on the chief's address, before TensorFlow waits for them.

TensorFlow waits for ever for a worker that does not come and does not say
which. Here the chief listens on its own port until all have called or the
time is up, then TensorFlow takes the port; the connections stay (`peers`).
"""

import contextlib
import errno
import socket
import string
import threading
import time

from trainloop.devices import cluster as cluster_lib
from trainloop.devices import gathering, handshake
from trainloop.devices.links import (
  Link,
  MissingPeerError,
  PeerError,
  missing,
  note,
  plain,
)

__all__ = ["MissingPeerError", "PeerError", "meet"]

_RETRY = 0.2  # seconds between two calls of the chief
_LATE = 2.0  # seconds that a chief's last word may take
_BACKLOG = 128  # connections that wait to be accepted


def meet(cluster, timeout, secret=b""):
  """Waits until all workers of a cluster are there.

  Args:
    cluster: a `Cluster` of at least two.
    timeout: seconds to wait for them.
    secret: bytes that all of them have, see `cluster_secret`.

  Returns:
    {index: Link}: to all others on the chief, to the chief on the others.

  Raises:
    MissingPeerError: naming who did not come, or whose port is taken.
  """
  with contextlib.closing(_listen(cluster)) as listener:
    if cluster.index:
      return {0: _Call(cluster, timeout, secret).until_go()}
    return gathering.Gathering(cluster, listener, timeout, secret).until_all()


def _listen(cluster):
  """A socket on this worker's own port; also shows that the port is free.

  The chief's listens, on its own address alone. TensorFlow will take the port
  on all of them, so that is tried too.
  """
  host, port = cluster_lib.split(cluster.workers[cluster.index])
  listener = _bind("", port, cluster)
  if cluster.index:
    return listener  # bound, not listening: nobody can call it
  address, why = _own_address(host)
  if why:
    me = cluster.name(cluster.index)
    note(f"{me} (this one) listens on all of this machine's addresses: {why}")
  else:
    listener.close()
    listener = _bind(address, port, cluster)
  listener.listen(_BACKLOG)
  listener.setblocking(False)
  return listener


def _bind(address, port, cluster):
  """A socket that has the port of an address."""
  family = socket.AF_INET6 if ":" in address else socket.AF_INET
  listener = socket.socket(family, socket.SOCK_STREAM)
  # TensorFlow binds the same port while accepted connections still use it.
  listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
  try:
    listener.bind((address, port))
  except OSError as error:
    listener.close()
    why = "in use" if error.errno == errno.EADDRINUSE else error.strerror
    me = cluster.name(cluster.index)
    raise MissingPeerError(
      f"{me} (this one) can't listen: its port {port} is {why}"
    ) from error
  return listener


def _own_address(host):
  """(this machine's address that `host` names, why there is none or None)."""
  try:
    places = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
  except (OSError, UnicodeError):
    return "", f"{host!r} is not known here"
  # IPv4 first, as TensorFlow listens.
  places.sort(key=lambda place: place[0] != socket.AF_INET)
  for family, *_, (address, *_) in places:
    if _is_own(family, address) and not _is_alias(host, address):
      return address, None
  why = (
    "which others do not reach" if _is_alias(host, address) else "none of them"
  )
  return "", f"{host!r} is {address} here, {why}"


def _is_own(family, address):
  """Whether this machine has an address."""
  with socket.socket(family, socket.SOCK_STREAM) as probe:
    try:
      probe.bind((address, 0))
    except OSError:
      return False
  return True


def _is_alias(host, address):
  """Whether a name is a loopback address here alone, as Debian's 127.0.1.1."""
  name = host.strip(string.digits + ".:") != ""
  return name and (address.startswith("127.") or address == "::1")


class _Call:
  """A worker's part: calls the chief until it says that all are there."""

  def __init__(self, cluster, timeout, secret):
    self._cluster, self._timeout, self._secret = cluster, timeout, secret
    self._reason, self._met = None, False

  def until_go(self):
    """The Link to the chief.

    Raises:
      MissingPeerError: if the chief does not come, or who else did not.
    """
    timer = threading.Timer(gathering.NOTE, self._note)
    timer.daemon = True
    timer.start()
    try:
      return self._until_go()
    finally:
      timer.cancel()

  def _note(self):
    who = "the other workers" if self._met else self._cluster.name(0)
    note(f"waiting for {who}, {self._timeout:g} s at most")

  def _until_go(self):
    until = time.monotonic() + self._timeout
    address = cluster_lib.split(self._cluster.workers[0])
    while (left := until - time.monotonic()) > 0:
      try:
        connection = socket.create_connection(address, timeout=left)
      except OSError:  # not up yet, or its name not known yet
        time.sleep(min(_RETRY, left))
        continue
      link = Link(connection)
      # The chief's own limit, which may have begun later, decides from there.
      self._met = self._introduce(link, until)
      if self._met and self._wait(link):
        return link
      self._met = False
      link.close()
      time.sleep(_RETRY)
    reasons = {0: self._reason} if self._reason else {}
    raise missing(self._cluster, [0], self._timeout, reasons)

  def _introduce(self, link, until):
    """Whether the chief took this worker in, and is the chief."""
    hello = handshake.hello(self._cluster)
    link.send(hello)
    challenge = self._next(link, until).get("nonce")
    if not isinstance(challenge, str):  # another program, or TensorFlow
      return False
    said = self._secret, hello, challenge
    link.send({"proof": handshake.proof("worker", *said)})
    answer = self._next(link, until).get("proof")
    if handshake.holds(answer, "chief", *said):
      return True
    if answer is not None:
      self._reason = "who answered there has another secret"
    return False

  def _wait(self, link):
    """Whether the chief says go before it is silent or the time is up."""
    until = time.monotonic() + self._timeout + _LATE
    while (now := time.monotonic()) < until:
      message = self._next(link, min(until, now + gathering.SILENT))
      if message == {"go": True}:
        return True
      if message != {"alive": True}:
        self._reason = link.why or "it had answered and fell silent"
        return False
      link.send({"alive": True})
    return False

  def _next(self, link, until):
    """The chief's next message; {} if there is none.

    Raises:
      MissingPeerError: if the chief refuses this worker, with its reason.
    """
    message = link.wait(until) or {}
    if isinstance(message.get("refused"), str):
      link.close()
      raise MissingPeerError(plain(message["refused"]))
    return message
