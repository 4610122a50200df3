"""How a script ends where something goes wrong: one line and an exit code.

2: a flag, the data or the cluster does not fit; 1: the run failed; 128 + n:
signal n. Only an error in the project's own code shows a traceback.
"""

import contextlib
import os
import traceback

from cli import flag_rules, interrupts, light, verbosity

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Folders of scripts/ that are no user's; examples/ become one's own.
_OWN = ("", "cli", "training", "benchmarks", "experiments", "kills")
_EXTRA = "pip install 'trainloop-tf[examples]'"
_OPTIONAL = ("matplotlib", "sklearn")  # what that extra brings

trainloop = light.Deferred("trainloop")
callables = light.Deferred("kernels.callables")
checks = light.Deferred("kernels.checks")


class DataError(ValueError):
  """A dataset that can't be used, in one line, whatever stands in the file.

  Args:
    text: the line.
  """

  _LONGEST = 600  # characters

  def __init__(self, text):
    line = "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(line.split())
    if len(line) > self._LONGEST:
      line = f"{line[: self._LONGEST - 100]} ... {line[-90:]}"
    super().__init__(line)


@contextlib.contextmanager
def worded(in_flags=str, again=""):
  """A context that turns an exception of its body into one line and an exit.

  An exception of a user's own code becomes one line, too; --verbosity=1 shows
  its traceback.

  Args:
    in_flags: function of an error about the library's arguments or the data;
      returns its text with flags in place of the arguments' names.
    again: what an interrupted user may do, or "".
  """
  try:
    with interrupts.raised():
      yield
  except interrupts.Interrupted as error:
    text = f"{error}; {again}" if again else error
    flag_rules.stop(text, error.exit_code)
  except Exception as error:
    line, code = _ending(error, in_flags)
    if line is None:
      raise
    flag_rules.stop(line, code)


def _ending(error, in_flags):
  """(the line, the exit code) of an error; (None, 1) for a fault of ours."""
  if isinstance(error, ModuleNotFoundError) and error.name in _OPTIONAL:
    return f"{error.name} is not installed: {_EXTRA}", 2
  if isinstance(error, OSError):
    return error, 1
  if isinstance(error, (checks.ArgumentError, DataError)):
    return in_flags(error), 2
  if isinstance(error, trainloop.MissingPeerError):
    return error, 2
  if isinstance(error, trainloop.NonFiniteError):
    return f"{error}; lower --peak_lr{_peak()}", 1
  if isinstance(error, (trainloop.PeerError, trainloop.ValueRangeError)):
    return error, 1
  if verbosity.level() < 2 and _is_users(error):
    return callables.message(error), 1
  return None, 1


def _peak():
  """The peak rate where a flag says it."""
  peak = flag_rules.value("peak_lr")
  return "" if peak is None else f" (it is {peak:g})"


def _is_users(error):
  """Whether it was raised in code that is not the scripts' own."""
  inside = ""
  for frame, _ in traceback.walk_tb(error.__traceback__):
    inside = os.path.dirname(os.path.abspath(frame.f_code.co_filename))
  own = [os.path.normpath(os.path.join(_ROOT, folder)) for folder in _OWN]
  return callables.is_users(error) and inside not in own
