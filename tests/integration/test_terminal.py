"""train.py in a real terminal of 80 columns, and piped."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

from support import commands

COLUMNS = 80
# Long enough in training for a handful of live lines.
FLAGS = (
  "--epochs=3",
  "--batch_size=4",
  "--hidden=512,512",
  "--early_stopping=2",
  "--workdir=run",
)


class Screen:
  """What a terminal shows of \\r, \\n and plain characters.

  Attributes:
    rows: the texts that stand there at the end.
    wrapped: those that went over the last column.
    redrawn: rows that were written over, once for each time.
  """

  def __init__(self, text):
    self.rows, self.wrapped, self.redrawn = [""], [], []
    column = 0
    for character in text:
      if character == "\n":
        self.rows.append("")
      elif character == "\r":
        column = 0
      else:
        assert character.isprintable()
        column = self._put(column, character)

  def _put(self, column, character):
    if column == COLUMNS:
      self.wrapped.append(self.rows[-1])
      self.rows.append("")
      column = 0
    row = self.rows[-1]
    if column == 0 and row:
      self.redrawn.append(row)
    self.rows[-1] = row[:column] + character + row[column + 1 :]
    return column + 1


def in_a_terminal(command, cwd):
  """(exit code, all that a command wrote to a pseudo-terminal)."""
  master, slave = pty.openpty()
  size = struct.pack("HHHH", 24, COLUMNS, 0, 0)
  fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
  env = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
  env.pop("TF_CPP_MIN_LOG_LEVEL", None)
  process = subprocess.Popen(
    command, cwd=cwd, env=env, stdin=slave, stdout=slave, stderr=slave
  )
  os.close(slave)
  found = []
  try:
    while block := os.read(master, 65536):
      found.append(block)
  except OSError:  # the last one that had it open has closed it
    pass
  os.close(master)
  return process.wait(60), b"".join(found).decode()


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
  """The Screen of a run in a terminal, and the output of one that is piped."""
  script = str(commands.ROOT / "scripts" / "train.py")
  command = [sys.executable, script, *FLAGS]
  folders = [tmp_path_factory.mktemp(name) for name in ("pipe", "terminal")]
  env = {**os.environ}
  env.pop("TF_CPP_MIN_LOG_LEVEL", None)
  with subprocess.Popen(
    command,
    cwd=folders[0],
    env=env,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  ) as piped:
    code, text = in_a_terminal(command, folders[1])
    out, err = piped.communicate(timeout=240)
  assert (code, piped.returncode) == (0, 0), (text[-2000:], err[-2000:])
  return Screen(text), out, err


def test_a_live_line_is_updated_in_place_and_never_wraps(shown):
  screen = shown[0]
  assert screen.wrapped == []
  assert max(map(len, screen.rows)) < COLUMNS
  live = [row for row in screen.redrawn if " st/s" in row and "left" in row]
  assert len(live) >= 3 and len(set(live)) == len(live)
  assert all("loss" in row and "/1077" in row for row in live)
  # Nothing of it stays; each of these stands on one row of its own.
  assert not [row for row in screen.rows if " st/s" in row and "left" in row]
  assert len([row for row in screen.rows if row.startswith("epoch ")]) == 3


def test_piped_there_is_at_most_a_line_an_epoch_plus_events(shown):
  out = shown[1]
  lines = out.splitlines()
  assert "\r" not in out
  assert len([line for line in lines if line.startswith("epoch ")]) == 3
  assert len(lines) <= 3 + 18


def test_start_and_end_are_told_alike(shown):
  screen, out, _ = shown
  words = [row.split()[0] for row in screen.rows if row.strip()]
  assert words == [line.split()[0] for line in out.splitlines()]
  start = ["data", "model", "devices", "judging", "engine", "run", "schedule"]
  assert words[:8] == [*start, "logs"]
  assert {"completed", "best", "weights", "train", "loss"} <= set(words)


def test_tensorflow_is_silent(shown):
  screen, out, err = shown
  assert err == ""
  for text in (out, "\n".join(screen.rows)):
    for chatter in ("oneDNN", "cuda", "XLA service", "WARNING", "I0000"):
      assert chatter not in text
