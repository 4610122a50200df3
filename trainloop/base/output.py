"""All that is shown goes out here: what can't be written never ends a run.

A full disk behind `> log`, a closed pipe behind `| head`, a terminal that is
gone, a closed or missing stream, a character that its encoding lacks: the text
is lost or spelled out, the other stream says so once, and the run goes on.
It needs no TensorFlow: scripts load it before that is imported.
"""

import atexit
import contextlib
import os
import sys

_NAMES = {"stdout": "standard output", "stderr": "standard error"}
_KERNEL = "ipykernel"  # the package whose streams a notebook shows
_lost = set()  # the streams that lost something


def line(text="", error=False):
  """Shows a line on standard output, or on standard error."""
  write(f"{text}\n", error=error)


def write(text, stream=None, error=False):
  """Writes a text at once, or loses it.

  Args:
    text: what to write.
    stream: a text stream; None for the present standard output.
    error: whether that is standard error.
  """
  name = "stderr" if error else "stdout"
  stream = getattr(sys, name) if stream is None else stream
  _try(name, lambda: _put(stream, text))


def is_live(stream=None):
  """Whether a line that is written over (`\\r`) is seen as one line.

  So it is in a terminal, and in a Jupyter notebook, whose stream says that it
  is none. What `%%capture` or `redirect_stdout` puts in its place is a log.

  Args:
    stream: a text stream; None for the present standard output.
  """
  stream = sys.stdout if stream is None else stream
  if isinstance(stream, Lenient):
    stream = stream._stream
  kinds = [kind.__module__.partition(".")[0] for kind in type(stream).__mro__]
  try:
    return _KERNEL in kinds or bool(stream.isatty())
  except Exception:  # None, closed, or an object that has no such method
    return False


class Lenient:
  """A standard stream for those that know nothing of this module.

  Args:
    stream: the text stream behind it.
    name: "stdout" or "stderr".
  """

  def __init__(self, stream, name):
    self._stream, self._name = stream, name

  def write(self, text):
    _try(self._name, lambda: _spelled(self._stream, text))
    return len(text)

  def writelines(self, lines):
    for text in lines:
      self.write(text)

  def flush(self):
    _try(self._name, self._stream.flush)

  def __getattr__(self, name):
    return getattr(self._stream, name)


def guard():
  """Makes a script's standard streams lenient, whoever writes to them.

  A standard descriptor that the parent process closed is opened on os.devnull:
  else the next file would get its number, and what C++ code writes to that.
  """
  for number in range(3):
    try:
      os.fstat(number)
    except OSError:
      with contextlib.suppress(OSError):
        os.open(os.devnull, os.O_RDWR)  # the least number that is free
  for name in _NAMES:
    stream = getattr(sys, name)
    if stream is not None and not isinstance(stream, Lenient):
      setattr(sys, name, Lenient(stream, name))
  atexit.register(_let_go)


def _put(stream, text):
  if stream is None:  # there is none, as under pythonw
    return
  _spelled(stream, text)
  flush = getattr(stream, "flush", None)
  if flush is not None:
    flush()


def _spelled(stream, text):
  """Writes a text; what the stream's encoding lacks is spelled out."""
  try:
    stream.write(text)
  except UnicodeError:
    encoding = getattr(stream, "encoding", None) or "ascii"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


def _try(name, act):
  """Calls `act`; the first failure of a stream is told on the other one."""
  try:
    act()
  except Exception as error:  # a stream may be any object, of a user's too
    if name in _lost:
      return
    _lost.add(name)
    atexit.register(_let_go)
    why = getattr(error, "strerror", None) or error
    told = f"warning: {_NAMES[name]} can't be written ({why})"
    line(f"{told}: what it would show is lost", error=name == "stdout")


def _let_go():
  """At the end: text that can't be written must not become an exit code."""
  for name in (*_NAMES, *(f"__{name}__" for name in _NAMES)):
    stream = getattr(sys, name)
    if stream is None or _is_flushed(stream):
      continue
    with contextlib.suppress(Exception):
      nothing = os.open(os.devnull, os.O_WRONLY)
      os.dup2(nothing, stream.fileno())
      os.close(nothing)
    if not _is_flushed(stream):
      setattr(sys, name, None)


def _is_flushed(stream):
  stream = stream._stream if isinstance(stream, Lenient) else stream
  try:
    stream.flush()
  except Exception:
    return getattr(stream, "closed", False) is True
  return True
