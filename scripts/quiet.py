"""Imports TensorFlow without its start-up chatter."""

import contextlib
import os
import sys
import tempfile


@contextlib.contextmanager
def startup():
  """Holds back standard error while TensorFlow starts; shows it on failure.

  TensorFlow writes there from C++ before its own log level can apply.
  """
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
