"""Terminal progress: one live line in a terminal, a line an epoch in a log."""

import sys
import time

_WIDTH = 79


def duration(seconds):
  """Seconds as "48s", "3:07" or "2:05:09"."""
  seconds = int(seconds + 0.5)
  minutes, seconds = divmod(seconds, 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f"{hours}:{minutes:02d}:{seconds:02d}"
  return f"{minutes}:{seconds:02d}" if minutes else f"{seconds}s"


class Progress:
  """Shows epoch, step, loss, rate, momentum, speed and time left.

  Args:
    stream: where to write; its `isatty` decides between one live line and
      plain lines.
    clock: gives seconds; injected in tests.
    quiet: shows nothing.
  """

  def __init__(self, stream=None, clock=time.monotonic, quiet=False):
    self._stream = sys.stdout if stream is None else stream
    self._quiet = quiet
    self._live = self._stream.isatty() and not quiet
    self._clock = clock

  def start(self, plan, step):
    """Begins, or goes on with, the fit of a `FitPlan` at global step `step`."""
    self._step, self._last = step, plan.end
    self._epochs = plan.first_epoch + plan.epochs
    self._first, self._began = step, self._clock()
    self._measured = self._began
    self._shown, self._rate = -1.0, None

  def window(self, epoch, step, row):
    """After a window: its last row as (rate, momentum, loss, ...)."""
    now = self._clock()
    if not self._live or now - self._shown < 0.1:
      return
    self._shown = now
    speed = self._speed(step, now)
    left = (self._last - step) / max(speed, 1e-9)
    rate, momentum, loss = row[:3]
    text = f"epoch {epoch}/{self._epochs} step {step}/{self._last}"
    text += f" loss {loss:.4g} lr {rate:.3g}"
    if momentum == momentum:
      text += f" mom {momentum:.3g}"
    text += f" {speed:.0f} st/s {duration(left)} left"
    self._stream.write("\r" + text[:_WIDTH].ljust(_WIDTH))
    self._stream.flush()

  def epoch(self, epoch, step, values):
    """After an epoch: its metrics, {name: number}, on a line that stays."""
    speed = self._speed(step, self._clock())
    parts = [f"{name} {value:.4g}" for name, value in values.items()]
    head = f"epoch {epoch}/{self._epochs} step {step}"
    self.line("  ".join([head, *parts, f"{speed:.0f} st/s"]))

  def finish(self, step, reason):
    """At the end: steps, time and why it ended."""
    seconds, steps = self._clock() - self._began, step - self._first
    text = f"{reason} after {steps} steps in {duration(seconds)}"
    self.line(f"{text} ({steps / max(seconds, 1e-9):.0f} steps/s)")

  def line(self, text):
    """Writes a line that stays."""
    if not self._quiet:
      self.warn(text)

  def warn(self, text):
    """Writes a line that stays, even where nothing else is shown."""
    start = "\r" + " " * _WIDTH + "\r" if self._live else ""
    self._stream.write(start + text + "\n")
    self._stream.flush()

  def _speed(self, step, now):
    """Steps a second lately; the first window, which compiles, fades out."""
    done, seconds = step - self._step, now - self._measured
    if done and seconds > 0:
      lately = done / seconds
      self._step, self._measured = step, now
      first = self._rate is None
      self._rate = lately if first else 0.5 * (self._rate + lately)
    return self._rate or 0.0
