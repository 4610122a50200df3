"""How much a script shows: --verbosity, and TensorFlow without its chatter."""

import contextlib
import logging
import os
import sys
import tempfile

from absl import flags

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
    print(text, flush=True)


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
  sys.stderr.flush()
  real = os.dup(2)
  with tempfile.TemporaryFile() as held:
    os.dup2(held.fileno(), 2)
    try:
      yield
    except BaseException:
      held.seek(0)
      os.write(real, held.read())
      raise
    finally:
      os.dup2(real, 2)
      os.close(real)
