"""A connection to another worker: JSON objects, one a line, bounded."""

import collections
import contextlib
import json
import select
import socket
import time

from trainloop.base import output, strict_json

LONGEST = 1 << 12  # bytes of a message
_WORDS = 500  # characters of a text in one
_READ = 1 << 16


class PeerError(RuntimeError):
  """Another worker is missing or lost; the one-line message names it."""


class MissingPeerError(PeerError):
  """A worker that did not come in time, before anything was trained."""


class Link:
  """A connection to one worker; what it says is bounded and checked.

  A message is a JSON object of one line and at most `LONGEST` bytes. Whoever
  sends anything else, or does not take what is sent, is cut off.

  Args:
    connection: a connected socket; it never blocks from here on.

  Attributes:
    why: after the end: what ended it, for a message.
  """

  def __init__(self, connection):
    with contextlib.suppress(OSError):
      connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setblocking(False)
    self.socket = connection
    self.why = None
    self._rest, self._messages = b"", collections.deque()

  def send(self, message):
    """Sends a dict; a connection that is gone shows when it is read."""
    line = strict_json.dumps(message, ensure_ascii=False) + "\n"
    try:
      # Not taken whole: its buffer is full, and half a line is none.
      self.socket.sendall(line.encode(errors="replace"))
    except OSError:
      self._end("its connection is closed")

  def read(self):
    """The messages that are there; None once the connection is at its end."""
    if self.why is None:
      self._receive()
    messages = list(self._messages)
    self._messages.clear()
    return messages if messages or self.why is None else None

  def wait(self, until):
    """The first message before the time `until`; {} if none, None if closed."""
    while not self._messages and self.why is None:
      left = until - time.monotonic()
      if left <= 0:
        return {}
      poll = select.poll()  # `select` can't take descriptors above 1023
      poll.register(self.socket, select.POLLIN)
      if poll.poll(left * 1000 + 1):
        self._receive()
    return self._messages.popleft() if self._messages else None

  def close(self):
    """Ends the connection."""
    self._end("it was closed here")
    self.socket.close()

  def _receive(self):
    try:
      data = self.socket.recv(_READ)
    except (BlockingIOError, InterruptedError):
      return
    except OSError:
      data = b""
    if not data:
      self._end("its connection is closed")
      return
    *lines, self._rest = (self._rest + data).split(b"\n")
    messages = [parse(line) for line in lines]
    if None in messages or len(self._rest) > LONGEST:
      self._end("it sent what no worker sends")
      messages = messages[: messages.index(None)] if None in messages else []
    self._messages.extend(messages)

  def _end(self, why):
    self.why = self.why or why


def parse(line):
  """The JSON object in a line; None if it is none, or too long.

  Args:
    line: bytes.
  """
  if len(line) > LONGEST:
    return None
  try:
    message = json.loads(line)
  except (ValueError, RecursionError):  # not JSON, not UTF-8; 3,000 brackets
    return None
  return message if isinstance(message, dict) else None


def plain(text):
  """A text as one line of bounded length, without control characters."""
  line = " ".join(str(text).split())
  return "".join(c if c.isprintable() else "?" for c in line)[:_WORDS]


def missing(cluster, absent, timeout, reasons):
  """The error that names who did not come, and what is known of why.

  Args:
    cluster: the `Cluster`.
    absent: indices of workers.
    timeout: seconds that they had.
    reasons: {index: text}, of some of them.
  """
  who = ", ".join(
    cluster.name(index) + (f" ({reasons[index]})" if index in reasons else "")
    for index in absent
  )
  return MissingPeerError(
    f"{who} did not come within {timeout:g} s (peer_timeout)"
  )


def note(text):
  """Shows a line on standard error; nothing else is there so early."""
  output.line(text, error=True)
