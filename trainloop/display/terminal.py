"""Terminal progress: one live line in a terminal, a line an epoch in a log."""

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
      terminal gets one live line, all else plain lines.
    clock: gives seconds; injected in tests.

  Raises:
    ValueError: if `verbose` is something else.
  """

  def __init__(self, verbose=True, stream=None, clock=time.monotonic):
    self._level = level = level_of(verbose)
    self._stream, self._clock = stream, clock
    self._live = level > SILENT and output.is_terminal(stream)
    self._drawn = 0  # length of the live line that is there
    self._introduced = False

  def introduce(self, of_loop, of_fit):
    """Before a fit: what the functions give, lines; `of_loop` once."""
    if self._level == SILENT:
      return
    for line in [*([] if self._introduced else of_loop()), *of_fit()]:
      self.line(line)
    self._introduced = True

  def start(self, plan, step):
    """Begins, or goes on with, the fit of a `FitPlan` at global step `step`."""
    self._last, self._epochs = plan.end, plan.first_epoch + plan.epochs
    self._first, self._began = step, self._clock()
    self._shown, self._rate = -1.0, None
    self._lines, self._line_at = 0, -1.0
    self._warm = None  # (step, time) after the first window, which compiles
    if self._live:
      self._draw(["compiling the first window"])

  def window(self, epoch, step, row):
    """After a window: its last row, a `Row`."""
    now = self._clock()
    if self._warm is None:
      self._warm = self._mark = (step, now)
    if not self._live or now - self._shown < _EVERY:
      return
    self._shown = now
    has_momentum = row.momentum == row.momentum
    speed = self._speed(step, now)
    left = speed and duration((self._last - step) / speed)
    # From the last one on they are left out where the terminal is narrow.
    self._draw(
      [
        f"epoch {epoch}/{self._epochs}",
        f"step {step}/{self._last}",
        f"loss {row.loss:.4g}",
        *([f"{left} left"] if speed else []),
        *([f"{speed:.0f} st/s"] if speed else []),
        f"lr {row.learning_rate:.3g}",
        *([f"mom {row.momentum:.3g}"] if has_momentum else []),
      ]
    )

  def epoch(self, epoch, step, values):
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
      parts.append(f"step {step}")
    for name, value in values.items():
      base = name.removeprefix("val_")
      if base != name and base in values:
        continue
      beside = values.get(f"val_{name}")
      text = f"{name} {value:.4g}"
      parts.append(text if beside is None else f"{text} val {beside:.4g}")
    speed = self._speed(step, now)
    if speed:
      parts.append(f"{speed:.0f} st/s")
    self.line(_fitted(parts, self._room()) if self._live else "  ".join(parts))

  def finish(self, step, reason, lines=()):
    """At the end: why, how many steps in what time, and more lines."""
    now = self._clock()
    text = f"{reason} after {step - self._first} steps"
    text += f" in {duration(now - self._began)}"
    if self._warm is not None and step > self._warm[0]:
      speed = (step - self._warm[0]) / max(now - self._warm[1], 1e-9)
      text += f" ({speed:.0f} steps/s after the first window)"
    for line in (text, *lines):
      self.line(line)

  def clear(self):
    """Takes the live line away."""
    if self._drawn:
      self._write("\r" + " " * self._drawn + "\r")
      self._drawn = 0

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
    if self._drawn:
      text = "\r" + text.ljust(self._drawn)
      self._drawn = 0
    self._write(text + "\n")

  def _draw(self, parts):
    """Writes over the live line; one column stays free, or it would wrap."""
    text = _fitted(parts, self._room())
    self._write("\r" + text.ljust(min(self._drawn, self._room())))
    self._drawn = len(text)

  def _write(self, text):
    output.write(text, self._stream)

  def _room(self):
    return shutil.get_terminal_size().columns - 1

  def _speed(self, step, now):
    """Steps a second lately; None before there is a second window."""
    if self._warm is None:
      return self._rate
    since, measured = self._mark
    if step > since and now > measured:
      lately = (step - since) / (now - measured)
      self._mark = (step, now)
      first = self._rate is None
      self._rate = lately if first else 0.5 * (self._rate + lately)
    return self._rate


def _fitted(parts, room):
  """As many of the parts as there is room for, in one line."""
  text = "  ".join(parts)
  while len(parts) > 1 and len(text) > room:
    parts = parts[:-1]
    text = "  ".join(parts)
  return text[:room]
