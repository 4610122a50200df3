"""Progress: one live line in a terminal or notebook, a line an epoch in a
log."""

import shutil
import time

from kernels import checks
from trainloop.base import output

SILENT, NORMAL, DETAILED = 0, 1, 2
_EVERY = 0.1  # seconds between two live lines
_FREE = 100  # lines of epochs before they wait for each other, too


def duration(seconds):
  """Seconds as "48s", "3:07" or "2:05:09"."""
  seconds = int(seconds + 0.5)
  minutes, seconds = divmod(seconds, 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f"{hours}:{minutes:02d}:{seconds:02d}"
  return f"{minutes}:{seconds:02d}" if minutes else f"{seconds}s"


def level_of(verbose):
  """`verbose` as 0, 1 or 2, or an error; see `Progress`."""
  level = int(verbose) if isinstance(verbose, bool) else verbose
  return checks.integer("verbose", level, SILENT, DETAILED)


class Progress:
  """Shows epoch, step, loss, rate, momentum, speed and time left.

  Epochs that last a few milliseconds would flood what shows them: after the
  first hundred lines the next one waits until 0.1 s have passed.

  Args:
    verbose: 0 or False shows warnings alone; 1 or True also a summary, epochs,
      events and a table at the end; 2 also validations inside epochs and
      checkpoints.
    stream: where to write, None for the standard output there is then; a
      terminal and a notebook get one live line, all else plain lines.
    clock: gives seconds; injected in tests.

  Raises:
    ValueError: if `verbose` is something else.
  """

  def __init__(self, verbose=True, stream=None, clock=time.monotonic):
    self._level = level = level_of(verbose)
    self._stream, self._clock = stream, clock
    self._live = level > SILENT and output.is_live(stream)
    self._live_length = 0  # length of the live line that is there
    self._introduced = False
    self._first = self._end = self._epochs = 0  # of the present fit
    self._lines = 0  # of its epochs
    self._began = self._last_draw = self._line_at = -1.0  # times
    self._speed = _Speed()

  def introduce(self, of_loop, of_fit):
    """Shows the lines that describe a fit, before it begins.

    Args:
      of_loop: gives the lines about the loop; called for the first fit only.
      of_fit: gives the lines about the fit.
    """
    if self._level == SILENT:
      return
    for line in [*([] if self._introduced else of_loop()), *of_fit()]:
      self.line(line)
    self._introduced = True

  def start(self, done, end, epochs):
    """Begins a fit, or goes on with it.

    Args:
      done: updates of the run so far.
      end: those at the fit's end.
      epochs: epochs of the run at the fit's end.
    """
    self._first, self._end, self._epochs = done, end, epochs
    self._began, self._speed = self._clock(), _Speed()
    self._lines, self._last_draw, self._line_at = 0, -1.0, -1.0
    if self._live:
      self._draw(["compiling the first window"])

  def window(self, epoch, done, row):
    """After a window.

    Args:
      epoch: that its last update belongs to, from 1.
      done: updates of the run so far.
      row: has the last one's `loss`, `learning_rate` and `momentum`; NaN for
        no momentum.
    """
    now = self._clock()
    self._speed.window(done, now)
    if not self._live or now - self._last_draw < _EVERY:
      return
    self._last_draw = now
    has_momentum = row.momentum == row.momentum
    speed = self._speed.lately(done, now)
    left = speed and duration((self._end - done) / speed)
    # From the last one on they are left out where the terminal is narrow.
    self._draw(
      [
        f"epoch {epoch}/{self._epochs}",
        f"step {done}/{self._end}",
        f"loss {row.loss:.4g}",
        *([f"{left} left"] if speed else []),
        *([f"{speed:.0f} st/s"] if speed else []),
        f"lr {row.learning_rate:.3g}",
        *([f"mom {row.momentum:.3g}"] if has_momentum else []),
      ]
    )

  def epoch(self, epoch, done, metrics):
    """After an epoch: its metrics, {name: number}, on a line that stays."""
    if self._level == SILENT:
      return
    now = self._clock()
    late = now - self._line_at >= _EVERY
    if self._lines >= _FREE and not late and epoch < self._epochs:
      return
    self._lines, self._line_at = self._lines + 1, now
    parts = [f"epoch {epoch}/{self._epochs}"]
    if not self._live:  # where it is seen anyway, and width is short
      parts.append(f"step {done}")
    for name, value in metrics.items():
      base = name.removeprefix("val_")
      if base != name and base in metrics:
        continue
      beside = metrics.get(f"val_{name}")
      text = f"{name} {value:.4g}"
      parts.append(text if beside is None else f"{text} val {beside:.4g}")
    speed = self._speed.lately(done, now)
    if speed:
      parts.append(f"{speed:.0f} st/s")
    self.line(_fitted(parts, self._room()) if self._live else "  ".join(parts))

  def finish(self, done, reason, lines=()):
    """At the end: why, how many steps in what time, and more lines."""
    now = self._clock()
    text = f"{reason} after {done - self._first} steps"
    text += f" in {duration(now - self._began)}"
    speed = self._speed.overall(done, now)
    if speed is not None:
      text += f" ({speed:.0f} steps/s after the first window)"
    for line in (text, *lines):
      self.line(line)

  def clear(self):
    """Takes the live line away."""
    if self._live_length:
      self._write("\r" + " " * self._live_length + "\r")
      self._live_length = 0

  def detail(self, text):
    """Writes a line that stays, for those who asked for details."""
    if self._level >= DETAILED:
      self.warn(text)

  def line(self, text):
    """Writes a line that stays."""
    if self._level > SILENT:
      self.warn(text)

  def warn(self, text):
    """Writes a line that stays, even where nothing else is shown."""
    if self._live_length:
      text = "\r" + text.ljust(self._live_length)
      self._live_length = 0
    self._write(text + "\n")

  def _draw(self, parts):
    """Writes over the live line; one column stays free, or it would wrap."""
    text = _fitted(parts, self._room())
    self._write("\r" + text.ljust(min(self._live_length, self._room())))
    self._live_length = len(text)

  def _write(self, text):
    output.write(text, self._stream)

  def _room(self):
    return shutil.get_terminal_size().columns - 1


class _Speed:
  """Updates a second; the first window, which compiles, does not count."""

  def __init__(self):
    self._first = self._mark = None  # (updates done, time)
    self._lately = None

  def window(self, done, now):
    """After a window."""
    if self._first is None:
      self._first = self._mark = (done, now)

  def lately(self, done, now):
    """The smoothed speed; None before there is a second window."""
    if self._first is None:
      return None
    since, measured = self._mark
    if done > since and now > measured:
      speed = (done - since) / (now - measured)
      self._mark = (done, now)
      first = self._lately is None
      self._lately = speed if first else 0.5 * (self._lately + speed)
    return self._lately

  def overall(self, done, now):
    """The mean one; None if there was one window."""
    if self._first is None or done <= self._first[0]:
      return None
    since, measured = self._first
    return (done - since) / max(now - measured, 1e-9)


def _fitted(parts, room):
  """As many of the parts as there is room for, in one line."""
  text = "  ".join(parts)
  while len(parts) > 1 and len(text) > room:
    parts = parts[:-1]
    text = "  ".join(parts)
  return text[:room]
