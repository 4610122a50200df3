"""Named places in the code at which chaos.py kills the process it is in."""

import functools
import os
import signal
import threading


def named():
  """{point: (owner, method, when, condition)}; imports the library.

  `when` is "before", "after", or "inside" (0.2 ms after the method begins);
  the condition is on (arguments, result).
  """
  from training import export
  from trainloop.compiled import programs
  from trainloop.judging import judge
  from trainloop.model import state
  from trainloop.workdir import records, row_journal, run_names
  from trainloop.workdir.checkpoints.files import CheckpointFiles
  from trainloop.workdir.tensorboard import event_writer

  def index_comes(args, result):
    return args[-1] == run_names.INDEX

  def stops(args, result):
    return bool(result)

  files, rows, always = CheckpointFiles, row_journal.RowJournal, None
  return {
    FIRST: (
      event_writer.EventWriter,
      "plan",
      "after",
      always,
    ),
    "before rows are flushed": (rows, "flush", "before", always),
    "after rows are flushed": (rows, "flush", "after", always),
    "inside the write": (files, "_write_part", "inside", always),
    "before the commit": (files, "_write_part", "after", always),
    "between data and index": (files, "_publish", "before", index_comes),
    "before an old one goes": (files, "remove", "before", always),
    "after an old one went": (files, "remove", "after", always),
    "in validation": (programs.Programs, "evaluate", "inside", always),
    "in the best-weight copy": (judge.Judge, "verdict", "inside", always),
    "after the stop decision": (judge.Judge, "verdict", "after", stops),
    "after the best came back": (state.TrainState, "finish", "after", always),
    "after the end is saved": (records.Records, "finish", "after", always),
    "before the result": (export, "write", "after", always),
  }


# Those that lie between the beginning of a save and its end.
IN_A_SAVE = (
  "before rows are flushed",
  "after rows are flushed",
  "inside the write",
  "before the commit",
  "between data and index",
  "before an old one goes",
  "after an old one went",
)
# Those that come once in a run; the others are hit at a random time of many.
FIRST = "before the first checkpoint"
ONCE = (
  FIRST,
  "after the stop decision",
  "after the best came back",
  "after the end is saved",
  "before the result",
)
NAMES = (*IN_A_SAVE, "in validation", "in the best-weight copy", *ONCE)


def arm(point, hits):
  """Makes this process kill itself at a point.

  Args:
    point: one of `NAMES`.
    hits: at which time that it comes by, int >= 1.
  """
  owner, name, when, condition = named()[point]
  original, left = getattr(owner, name), [hits]

  def die():
    os.kill(os.getpid(), signal.SIGKILL)

  def count(args, result):
    if condition is None or condition(args, result):
      left[0] -= 1
      if left[0] == 0:
        return True
    return False

  @functools.wraps(original)
  def armed(*args, **options):
    if when == "before" and count(args, None):
      die()
    if when == "inside" and count(args, None):
      threading.Timer(0.0002, die).start()
    result = original(*args, **options)
    if when == "after" and count(args, result):
      die()
    return result

  setattr(owner, name, armed)
