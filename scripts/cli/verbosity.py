"""How much a script shows: --verbosity, and TensorFlow without its chatter."""

import contextlib
import logging
import os
import sys
import tempfile

from absl import flags

from cli.light import output

_TEXT = (
  "how much is shown [level]: -1 warnings and errors alone; 0 also a summary, "
  "one live line (in a log a line an epoch) and the result; 1 also "
  "checkpoints, validations inside epochs and TensorFlow's own messages"
)


def define():
  """Gives absl's own flag the levels of this project, also in --help."""
  flag = flags.FLAGS["verbosity"]
  flag.help = _TEXT
  flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
  flags.FLAGS.set_default("verbosity", 0)


def level():
  """What --verbosity means for `TrainLoop(verbose=...)`: 0, 1 or 2."""
  if "verbosity" not in flags.FLAGS:  # a child process without flags
    return 1
  return 1 + max(-1, min(1, flags.FLAGS["verbosity"].value))


def show(text):
  """Prints a line, unless only warnings are wanted."""
  if level():
    output.line(text)


@contextlib.contextmanager
def startup():
  """Holds back standard error while TensorFlow starts; shows it on failure.

  TensorFlow writes there from C++ before its own log level can apply. Where
  its messages are wanted nothing is held back.
  """
  if level() == 2:
    yield
    return
  for name in ("", "absl"):  # absl's own setter would change the flag
    logging.getLogger(name).setLevel(logging.ERROR)
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
  held = []
  try:
    with _held_back(held):
      yield
  except Exception:
    output.write("".join(held), error=True)
    raise


@contextlib.contextmanager
def _held_back(held):
  """Redirects standard error to a file; its text goes to `held` at the end."""
  output.write("", error=True)  # what waits there comes before
  with contextlib.ExitStack() as stack:
    try:
      real = os.dup(2)
      stack.callback(os.close, real)
      file = stack.enter_context(tempfile.TemporaryFile())
    except OSError:  # there is no standard error, or no room to keep it
      yield
      return
    os.dup2(file.fileno(), 2)
    try:
      yield
    finally:
      os.dup2(real, 2)
      file.seek(0)
      held.append(file.read().decode(errors="replace"))
