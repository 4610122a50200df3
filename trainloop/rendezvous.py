"""The workers meet on the chief's address, before TensorFlow waits for them.

TensorFlow waits for ever for a worker that does not come and does not say
which. Here the chief listens on its own port until all have called or the
time is up, then TensorFlow takes the port; the connections stay (`peers`).
"""

import contextlib
import errno
import json
import socket
import time

from trainloop import cluster as cluster_lib

_HELLO = "trainloop workers 1"
_RETRY = 0.2  # seconds between two calls of the chief
_LONGEST = 1 << 16  # bytes of a message


class PeerError(RuntimeError):
  """Another worker is missing or lost; the one-line message names it."""


class MissingPeerError(PeerError):
  """A worker that did not come in time, before anything was trained."""


class Link:
  """A connection to one worker: JSON objects, one a line.

  Args:
    connection: a connected socket.
  """

  def __init__(self, connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    self.socket = connection
    self._rest = b""

  def send(self, message):
    """Sends a dict; a connection that is gone shows when it is read."""
    with contextlib.suppress(OSError):
      self.socket.sendall(json.dumps(message).encode() + b"\n")

  def read(self):
    """The messages that are there; None once the connection is closed."""
    try:
      data = self.socket.recv(_LONGEST)
    except TimeoutError:
      return []
    except OSError:
      return None
    if not data:
      return None
    *lines, self._rest = (self._rest + data).split(b"\n")
    if len(self._rest) > _LONGEST:
      return None
    try:
      found = [json.loads(line) for line in lines]
    except ValueError:
      return None
    return found if all(isinstance(one, dict) for one in found) else None

  def wait(self, until):
    """The first message before the time `until`; {} if none, None if closed."""
    while (left := until - time.monotonic()) > 0:
      self.socket.settimeout(left)
      found = self.read()
      if found is None or found:
        return found and found[0]
    return {}

  def close(self):
    self.socket.close()


def meet(cluster, timeout):
  """Waits until all workers of a cluster are there.

  Args:
    cluster: a `Cluster` of at least two.
    timeout: seconds to wait for them.

  Returns:
    {index: Link}: to all others on the chief, to the chief on the others.

  Raises:
    MissingPeerError: naming who did not come, or whose port is taken.
  """
  listener = _listen(cluster)
  with contextlib.closing(listener):
    if cluster.index:
      return {0: _call(cluster, timeout)}
    links = {}
    try:
      return _gather(cluster, listener, links, timeout)
    except PeerError as error:
      for link in links.values():
        link.send({"refused": str(error)})
        link.close()
      raise


def _listen(cluster):
  """A socket on this worker's own port; also shows that the port is free."""
  _, port = cluster_lib.split(cluster.workers[cluster.index])
  listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
  # TensorFlow binds the same port while accepted connections still use it.
  listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
  try:
    listener.bind(("", port))
    if cluster.index == 0:
      listener.listen(cluster.count)
  except OSError as error:
    listener.close()
    why = "in use" if error.errno == errno.EADDRINUSE else error.strerror
    me = cluster.name(cluster.index)
    raise MissingPeerError(
      f"{me} (this one) can't listen: its port {port} is {why}"
    ) from error
  return listener


def _gather(cluster, listener, links, timeout):
  """The chief's part: fills `links` until all have called."""
  until = time.monotonic() + timeout
  while len(links) < cluster.count - 1:
    left = until - time.monotonic()
    if left <= 0:
      absent = [i for i in range(1, cluster.count) if i not in links]
      raise _missing(cluster, absent, timeout)
    listener.settimeout(left)
    try:
      connection, _ = listener.accept()
    except TimeoutError:
      continue
    link = Link(connection)
    index = _hello(cluster, link, min(until, time.monotonic() + 5))
    if index is None:
      link.close()
    elif index in links:
      link.send({"refused": f"{cluster.name(index)} runs already"})
      link.close()
    else:
      links[index] = link
  for link in links.values():
    link.send({"go": True})
  return links


def _hello(cluster, link, until):
  """The index of the worker that called; None for a stranger."""
  said = link.wait(until)
  if not said or said.get("hello") != _HELLO:
    return None
  if said.get("workers") != list(cluster.workers):
    link.send({"refused": f"the chief has the workers {cluster.workers}"})
    return None
  index = said.get("index")
  known = isinstance(index, int) and 0 < index < cluster.count
  return index if known else None


def _call(cluster, timeout):
  """A worker's part: calls the chief until it answers that all are there."""
  until = time.monotonic() + timeout
  hello = {
    "hello": _HELLO,
    "index": cluster.index,
    "workers": list(cluster.workers),
  }
  while (left := until - time.monotonic()) > 0:
    try:
      address = cluster_lib.split(cluster.workers[0])
      link = Link(socket.create_connection(address, timeout=left))
    except OSError:  # not up yet, or its name not known yet
      time.sleep(min(_RETRY, left))
      continue
    link.send(hello)
    # The chief's own limit, which may have begun later, decides from here.
    said = link.wait(time.monotonic() + timeout + 5)
    if said is None:  # another program, or TensorFlow of an earlier run
      link.close()
      time.sleep(_RETRY)
    elif "go" in said:
      return link
    else:
      link.close()
      raise MissingPeerError(
        said.get("refused", _missing(cluster, [0], timeout))
      )
  raise _missing(cluster, [0], timeout)


def _missing(cluster, absent, timeout):
  who = ", ".join(cluster.name(index) for index in absent)
  return MissingPeerError(
    f"{who} did not come within {timeout:g} s (peer_timeout)"
  )
