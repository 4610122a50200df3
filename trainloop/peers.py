"""Watches the other workers of a run while this one trains.

Every process sends a sign of life a second over the connections that
`rendezvous` left. A closed connection or eight silent seconds mean that a
worker is lost: collectives, which would wait for it for ever, are aborted,
and what the loop raises names it.
"""

import atexit
import contextlib
import functools
import os
import select
import sys
import threading
import time

import tensorflow as tf

# Nothing public aborts collectives; `test_peers.py` notices if this moves.
from tensorflow.python.eager import context as _context

from trainloop import rendezvous
from trainloop.rendezvous import PeerError

_TICK = 1.0  # seconds
# Ticks without a sign of life. Counted and not measured: a process that was
# itself suspended must not take the others for dead when it goes on.
_SILENT = 8
# Seconds that an aborted collective has to return before the process ends.
_GRACE = 3.0
# Ticks to wait for a worker that stopped: for what all of them find at the
# same step, each raises its own error.
_STOPPED = 5
# What TensorFlow raises when a peer is gone or collectives were aborted.
_GONE = (
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


class Peers(NoPeers):
  """The other workers of this run.

  Args:
    cluster: the `Cluster`.
    links: {index: Link} from `rendezvous.meet`.
  """

  def __init__(self, cluster, links):
    self._cluster, self._links = cluster, links
    self._silent = dict.fromkeys(links, 0)
    self._stopped = {}  # index: [why, ticks this one has waited since]
    self._gone = set()  # whose connection is not to be read again
    self._trouble, self._since = None, 0.0
    self._known = threading.Event()
    self._inside, self._closed = 0, False
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
    self._inside += 1
    try:
      yield
    except PeerError:
      raise
    except _GONE as error:
      if self._known.wait((_SILENT + 2) * _TICK):
        raise PeerError(self._trouble) from error
      self._tell(error)
      raise
    except BaseException as error:
      self._tell(error)
      raise
    finally:
      self._inside -= 1
      for index in [i for i in self._stopped if i not in self._gone]:
        del self._stopped[index]

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
      link.send({"stopped": f"it stopped ({_first_line(error)[:200]})"})

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
    links = {link.socket: i for i, link in self._links.items()
             if i not in self._gone}  # fmt: skip
    if not links:
      time.sleep(_TICK)
      return
    try:
      ready, _, _ = select.select(list(links), [], [], _TICK / 4)
    except (OSError, ValueError):  # closed meanwhile
      return
    for one in ready:
      index = links[one]
      said = self._links[index].read()
      if said is None:
        self._gone.add(index)
        self._lose(index, "its connection is closed")
      for message in said or ():
        self._hear(index, message)

  def _hear(self, index, message):
    self._silent[index] = 0
    if "trouble" in message:
      self._fall(message["trouble"])
    if "stopped" in message:
      self._stopped[index] = [message["stopped"], 0]
    if "bye" in message:
      self._gone.add(index)
      self._stopped.setdefault(index, ["it ended before this one did", 0])

  def _count(self):
    """Once a tick: a sign of life to all, and who gave none."""
    for index, link in self._links.items():
      if index in self._stopped and self._inside:
        self._stopped[index][1] += 1
        if self._stopped[index][1] > _STOPPED:
          self._lose(index, self._stopped[index][0])
      if index in self._gone:
        continue
      link.send({"alive": True})
      self._silent[index] += 1
      if self._silent[index] > _SILENT:
        self._lose(index, f"no sign of life for {_SILENT * _TICK:g} s")

  def _lose(self, index, why):
    self._fall(f"{self._cluster.name(index)} is lost: {why}")

  def _fall(self, trouble):
    """Remembers the first trouble, passes it on, and frees what waits."""
    if self._trouble is not None or self._closed:
      return
    self._trouble, self._since = trouble, time.monotonic()
    for link in self._links.values():
      link.send({"trouble": trouble})
    self._known.set()
    _context.context().abort_collective_ops(tf.errors.UNAVAILABLE, trouble)

  def _leave(self):
    """Ends a process that an aborted collective does not let go."""
    if time.monotonic() - self._since < _GRACE:
      return
    sys.stderr.write(f"error: {self._trouble}\n")
    sys.stderr.flush()
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


def join(cluster, timeout):
  """Meets the other workers, once a process, and watches them from then on.

  Args:
    cluster: a `Cluster`.
    timeout: seconds to wait for them.

  Raises:
    MissingPeerError: see `rendezvous.meet`.
  """
  global _current
  if _current is _NONE and cluster.count > 1:
    _current = Peers(cluster, rendezvous.meet(cluster, timeout))
