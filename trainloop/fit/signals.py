"""SIGTERM, SIGINT and SIGHUP end a run after its window, with a checkpoint."""

import os
import select
import signal
import threading

from kernels import callables, checks
from trainloop.base import output


class StopOnSignals:
  """Asks a loop to stop when a signal comes; the second one exits at once.

    with trainloop.StopOnSignals(loop.stop) as caught:
      history = loop.fit(data, epochs=5)
    if history.stop_reason == "preempted":
      sys.exit(caught.exit_code)

  The first signal calls `stop`: the loop finishes its window, saves, and `fit`
  returns. After `grace` seconds, or at a second signal, the process exits with
  128 + the signal's number; the checkpoints that were committed stay whole.
  A thread listens, so that it works while TensorFlow holds the main thread.
  SIGHUP, a terminal that went away, is one of them unless it is ignored, as
  `nohup` has it.

  Args:
    stop: called without arguments, on another thread.
    grace: seconds from the first signal until the process exits, > 0.
    numbers: the signals, or None for SIGTERM, SIGINT and SIGHUP.

  Attributes:
    exit_code: 128 + the first signal's number; 0 before one came.

  Raises:
    ValueError: if `grace` is not > 0; entered outside the main thread.
  """

  def __init__(self, stop, grace=10.0, numbers=None):
    callables.check("stop", stop, rule="a callable without arguments")
    self._stop = stop
    self._grace = checks.positive("grace", grace)
    self._numbers = _usual() if numbers is None else tuple(numbers)
    self.exit_code = 0
    # What stands here while it listens, and what stood there before.
    self._thread = self._read = self._write = None
    self._old_handlers, self._old_wakeup = {}, -1

  def __enter__(self):
    here = threading.current_thread()
    if here is not threading.main_thread():
      rule = "in the main thread, which alone has signals"
      checks.fail("with StopOnSignals(...)", here.name, rule)
    self._read, self._write = os.pipe()
    os.set_blocking(self._write, False)
    self._old_wakeup = signal.set_wakeup_fd(self._write)
    self._old_handlers = {
      number: signal.signal(number, _nothing) for number in self._numbers
    }
    self._thread = threading.Thread(target=self._listen, daemon=True)
    self._thread.start()
    return self

  def __exit__(self, *error):
    for number, handler in self._old_handlers.items():
      # None: it was set by C code, which Python can't set again.
      signal.signal(number, signal.SIG_DFL if handler is None else handler)
    signal.set_wakeup_fd(self._old_wakeup)
    os.write(self._write, b"\0")  # ends the thread
    self._thread.join()
    os.close(self._read)
    os.close(self._write)

  def _listen(self):
    """Reads the signals' numbers until a 0; on the thread."""
    left = None
    while True:
      ready, _, _ = select.select([self._read], [], [], left)
      number = os.read(self._read, 1)[0] if ready else None
      if number == 0:
        return
      if number in self._numbers and not self.exit_code:
        self.exit_code, left = 128 + number, self._grace
        self._stop()
      elif number is None or number in self._numbers:
        why = "again" if ready else f"{self._grace:g} s ago"
        output.line(f"signal {why}: exit without saving", error=True)
        os._exit(self.exit_code)


def _usual():
  """The signals that ask a process to end; none that it was told to ignore."""
  hang_up = getattr(signal, "SIGHUP", None)  # not on Windows
  if hang_up is None or signal.getsignal(hang_up) is signal.SIG_IGN:
    return signal.SIGTERM, signal.SIGINT
  return signal.SIGTERM, signal.SIGINT, hang_up


def _nothing(number, frame):
  """Stands in for the default action; the thread reads the number."""
