"""Signals outside of fits: a script ends in one line with 128 + the number.

While a loop runs `trainloop.StopOnSignals` has them: its window ends and it
saves. Before, between and after there is nothing to save, only what is half
made to take away. This needs no TensorFlow: a script calls `install` before it
imports what takes seconds.
"""

import contextlib
import os
import signal
import threading

from cli.light import output

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_first = []  # the signal that `raised` had, also where its error got lost


class Interrupted(KeyboardInterrupt):
  """A signal asks this process to end.

  Args:
    number: the signal's.

  Attributes:
    exit_code: 128 + the number.
  """

  def __init__(self, number):
    super().__init__(f"stopped by {signal.Signals(number).name}")
    self.exit_code = 128 + number


def install():
  """Ends the process at a signal, at once: nothing is made yet."""
  handle(_end)


@contextlib.contextmanager
def raised():
  """Raises `Interrupted` where a signal comes, so that what is half made goes.

  One that comes where errors get lost, as in a `__del__`, is raised at the end
  or by `check`. Outside the main thread this does nothing.
  """
  _first.clear()
  handlers = handle(_raise)
  try:
    yield
    check()
  finally:
    for number, handler in handlers.items():
      # None: it was set by C code, which Python can't set again.
      signal.signal(number, signal.SIG_DFL if handler is None else handler)


def check():
  """Raises `Interrupted` if a signal came within `raised`."""
  if _first:
    raise Interrupted(_first[0])


def handle(handler):
  """Sets the handler of all signals that end a script.

  SIGHUP stays ignored where it is, as nohup has it. Outside the main thread,
  which alone has signals, this does nothing.

  Args:
    handler: as `signal.signal` takes it.

  Returns:
    {number of a signal: its handler before}.
  """
  if threading.current_thread() is not threading.main_thread():
    return {}
  ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
  numbers = [n for n in _NUMBERS if n != signal.SIGHUP or not ignored]
  return {number: signal.signal(number, handler) for number in numbers}


def _raise(number, frame):
  del frame
  _first.append(number)
  raise Interrupted(number)


def _end(number, frame):
  del frame
  error = Interrupted(number)
  output.line(f"error: {error}", error=True)
  os._exit(error.exit_code)
