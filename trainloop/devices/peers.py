"""Watches the other workers of a run while this one trains.

Every process sends a sign of life a second over the connections that
`rendezvous` left. A closed connection, eight silent seconds or a message that
no worker sends mean that a worker is lost: collectives, which would wait for
it for ever, are aborted, and what the loop raises names it.
"""

import atexit
import contextlib
import functools
import math
import os
import selectors
import threading
import time

import tensorflow as tf

# Nothing public aborts collectives, or says whether there are any;
# `test_strategies.py` notices if this moves.
from tensorflow.python.eager import context as _context

from trainloop.base import output
from trainloop.devices import cluster_secret, rendezvous
from trainloop.devices.links import PeerError, plain

_TICK = 1.0  # seconds
# Ticks without a sign of life. Counted and not measured: a process that was
# itself suspended must not take the others for dead when it goes on.
_SILENT = 8
# Seconds that an aborted collective has to return before the process ends.
_GRACE = 3.0
# Ticks until a worker that stopped counts as lost: if all workers stop at the
# same step for the same reason, each has the time to raise its own error.
_STOPPED = 5
# What a worker says, each alone in its message, and of what type.
_KINDS = {
  "alive": bool,
  "starting": bool,
  "trouble": str,
  "stopped": str,
  "bye": bool,
}
# What TensorFlow raises when a peer is gone or collectives were aborted.
_PEER_ERRORS = (
  tf.errors.UnavailableError,
  tf.errors.AbortedError,
  tf.errors.CancelledError,
  tf.errors.InternalError,
  tf.errors.FailedPreconditionError,
  tf.errors.DeadlineExceededError,
)


class NoPeers:
  """A run of one process."""

  @contextlib.contextmanager
  def guarded(self):
    """Around everything that may wait for other workers."""
    yield

  def starting(self):
    """Around the making of TensorFlow's strategy."""
    return self.guarded()


class Peers(NoPeers):
  """The other workers of this run.

  Args:
    cluster: the `Cluster`.
    links: {index: Link} from `rendezvous.meet`.
    timeout: seconds that the others have to start TensorFlow.
  """

  def __init__(self, cluster, links, timeout=120.0):
    self._cluster, self._links, self._timeout = cluster, links, timeout
    self._silent = dict.fromkeys(links, 0)
    self._start = math.ceil(timeout / _TICK)  # ticks left; None: over
    self._starting = set()  # who is at it
    self._stopped = {}  # index: [why, ticks this one has waited since]
    self._unread = set()  # whose connection is not to be read again
    self._trouble, self._since, self._aborted = None, 0.0, False
    self._is_lost = threading.Event()
    self._inside, self._closed = 0, False
    self._selector = selectors.DefaultSelector()
    for index, link in links.items():
      self._selector.register(link.socket, selectors.EVENT_READ, index)
    self._thread = threading.Thread(target=self._watch, daemon=True)
    self._thread.start()
    atexit.register(self.close)

  @contextlib.contextmanager
  def guarded(self):
    """Around everything that may wait for other workers.

    Raises:
      PeerError: in place of the error that a lost worker causes; an error of
        this worker's own is told to the others and goes on.
    """
    if self._is_lost.is_set():
      raise PeerError(self._trouble)
    self._inside += 1
    try:
      yield
    except PeerError:
      raise
    except _PEER_ERRORS as error:
      if self._is_lost.wait((_SILENT + 2) * _TICK):
        raise PeerError(self._trouble) from error
      self._tell(error)
      raise
    except BaseException as error:
      self._tell(error)
      raise
    finally:
      self._inside -= 1
      for index in [i for i in self._stopped if i not in self._unread]:
        del self._stopped[index]

  @contextlib.contextmanager
  def starting(self):
    """Around the making of TensorFlow's strategy, which waits for all.

    Raises:
      PeerError: naming who does not get through to it in time.
    """
    for link in self._links.values():
      link.send({"starting": True})
    with self.guarded():
      yield
    self._start = None

  def close(self):
    """Says goodbye; the process ends or needs the others no more."""
    if self._closed:
      return
    self._closed = True
    for link in self._links.values():
      link.send({"bye": True})
      link.close()

  def _tell(self, error):
    """Lets the others know that this worker stopped, and why."""
    for link in self._links.values():
      link.send({"stopped": f"it stopped ({plain(_first_line(error))[:200]})"})

  def _watch(self):
    tick = time.monotonic()
    while not self._closed:
      self._listen()
      if time.monotonic() - tick >= _TICK:
        tick = time.monotonic()
        self._count()
      if self._trouble and self._inside:
        self._leave()

  def _listen(self):
    """Takes in what the others say, for a tick at most."""
    try:
      ready = self._selector.select(_TICK / 4)
    except (OSError, ValueError):  # closed meanwhile
      ready = []
    if not self._selector.get_map():  # nobody is left: it would not wait
      time.sleep(_TICK / 4)
    for key, _ in ready:
      index, link = key.data, self._links[key.data]
      messages = link.read()
      for message in messages or ():
        if index not in self._unread:
          self._hear(index, message)
      if messages is None and index not in self._unread:
        self._stop_reading(index)
        self._declare_lost(index, link.why)

  def _hear(self, index, message):
    kind = next(iter(message), None)
    kind_of_value = _KINDS.get(kind)
    value = message.get(kind)
    if len(message) != 1 or type(value) is not kind_of_value or value is False:
      self._stop_reading(index)
      self._declare_lost(index, "it sent what no worker sends")
      return
    self._silent[index] = 0
    if kind == "starting":
      self._starting.add(index)
    elif kind == "trouble":
      self._fail_run(plain(value))
    elif kind == "stopped":
      self._stopped[index] = [plain(value), 0]
    elif kind == "bye":
      self._stop_reading(index)
      self._stopped.setdefault(index, ["it ended before this one did", 0])

  def _stop_reading(self, index):
    """Reads nothing from a connection any more."""
    self._unread.add(index)
    self._selector.unregister(self._links[index].socket)

  def _count(self):
    """Once a tick: a sign of life to all, and who gave none."""
    for index, link in self._links.items():
      if index in self._stopped and self._inside:
        self._stopped[index][1] += 1
        if self._stopped[index][1] > _STOPPED:
          self._declare_lost(index, self._stopped[index][0])
      if index in self._unread:
        continue
      link.send({"alive": True})
      self._silent[index] += 1
      limit = self._patience()
      if self._silent[index] > limit:
        self._declare_lost(index, f"no sign of life for {limit * _TICK:g} s")
    if self._start is not None and self._inside:
      self._count_start()

  def _patience(self):
    """Ticks without a sign of life; while the run starts at most its limit."""
    if self._start is None:
      return _SILENT
    return min(_SILENT, max(1, math.ceil(self._timeout / _TICK)))

  def _count_start(self):
    """Fails the run if a live worker does not start in `peer_timeout`."""
    self._start -= 1
    if self._start < 0:
      absent = [i for i in self._links if i not in self._starting]
      who = ", ".join(map(self._cluster.name, absent or self._links))
      limit = f"{self._timeout:g} s (peer_timeout)"
      self._fail_run(f"{who} did not start TensorFlow within {limit}")

  def _declare_lost(self, index, why):
    self._fail_run(f"{self._cluster.name(index)} is lost: {why}")

  def _fail_run(self, trouble):
    """Remembers the first trouble, passes it on, and frees what waits."""
    if self._trouble is not None or self._closed:
      return
    self._trouble, self._since = trouble, time.monotonic()
    for link in self._links.values():
      link.send({"trouble": plain(trouble)})
    self._is_lost.set()
    self._abort()

  def _abort(self):
    """Frees what waits in a collective, once there are any."""
    context = _context.context()
    server = context._collective_ops_server_def
    # Before that an abort would set TensorFlow up, for good, without them.
    if server is None or not context._initialized or self._aborted:
      return
    self._aborted = True
    context.abort_collective_ops(tf.errors.UNAVAILABLE, self._trouble)

  def _leave(self):
    """Ends a process that an aborted collective does not let go."""
    self._abort()
    if time.monotonic() - self._since < _GRACE:
      return
    output.line(f"error: {self._trouble}", error=True)
    os._exit(1)


def _first_line(error):
  """The first line of an error that is not TensorFlow's own preamble."""
  lines = [line.strip() for line in str(error).splitlines()]
  preamble = ("Graph execution error", "Detected at", "<stack traces")
  said = [line for line in lines if line and not line.startswith(preamble)]
  return (said or [type(error).__name__])[0]


def guarded(method):
  """A function that may wait for other workers: `Peers.guarded` around it."""

  @functools.wraps(method)
  def watched(*args, **options):
    with current().guarded():
      return method(*args, **options)

  return watched


def watched():
  """`Peers.guarded` of this process, for `with` around a whole run."""
  return current().guarded()


_NONE = NoPeers()
_current = _NONE


def current():
  """The `Peers` of this process, or a `NoPeers`."""
  return _current


def join(cluster, timeout, secret_file=None):
  """Meets the other workers, once a process, and watches them from then on.

  Args:
    cluster: a `Cluster`.
    timeout: seconds to wait for them, and for TensorFlow to start on each.
    secret_file: see `cluster_secret.read`.

  Raises:
    ValueError: if the file can't be used.
    MissingPeerError: see `rendezvous.meet`.
  """
  global _current
  if _current is _NONE and cluster.count > 1:
    secret = cluster_secret.read(secret_file)
    links = rendezvous.meet(cluster, timeout, secret)
    _current = Peers(cluster, links, timeout)
