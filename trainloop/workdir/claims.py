"""Whose a workdir is: a run's, nobody's yet, or another program's."""

import contextlib
import fcntl
import json
import os

import tensorflow as tf

from kernels import checks
from trainloop.workdir import fit_log, run_files, run_names
from trainloop.workdir.checkpoints.files import CheckpointFiles

# In the lock of every run, so that nothing else is taken for one.
_MARK = b"a run of trainloop\n"
# What Linux takes; a path leaves room for the names of the files inside.
_LONGEST_NAME, _LONGEST_PATH = 255, 3800


def path_of(workdir):
  """The workdir that a user asks for, as a str; None for None.

  Raises:
    ValueError: if it is no local path, or too long for the files inside.
  """
  if workdir is None:
    return None
  rule = "a local folder's path, or None"
  if not isinstance(workdir, (str, os.PathLike)):
    checks.fail("workdir", workdir, rule)
  path = checks.text("workdir", os.fspath(workdir), rule)
  if "://" in path or "\0" in path:
    checks.fail("workdir", path, rule)
  parts = os.path.abspath(path).encode().split(b"/")
  if max(map(len, parts)) > _LONGEST_NAME:
    rule = f"of names of at most {_LONGEST_NAME} bytes each"
    checks.fail("workdir", path, rule)
  if sum(map(len, parts)) + len(parts) > _LONGEST_PATH:
    rule = f"a path of at most {_LONGEST_PATH} bytes"
    checks.fail("workdir", path, rule)
  return path


def check(workdir, overwrite=False):
  """Refuses a folder in which a run would touch what is not a run's.

  Args:
    workdir: the run's folder, or a path where none is yet.
    overwrite: whether a run is to be removed from it.

  Raises:
    ValueError: if the folder holds another program's checkpoints, or a path
      with a run's name is a link, of the wrong kind or of another user. Where
      no run is, also if it holds other event files, files with a run's names
      (except a dry run's) or, with `overwrite`, anything else.
  """
  named = list(run_names.walk(workdir))
  for path, is_folder in named:
    run_files.check(os.path.join(workdir, path), is_folder)
  _refuse_strange(workdir, "checkpoints", _others_checkpoints(workdir))
  if is_run(workdir):
    return
  ours = {path for path, is_folder in named if is_folder or _is_dry(path)}
  if _is_mark(_content(workdir, run_names.LOCK)):
    ours.add(run_names.LOCK)  # of a run that was killed as it began
  strange = run_names.others(workdir)
  _refuse_strange(workdir, "events", strange)
  strange = [path for path, _ in named if path not in ours]
  _refuse_strange(workdir, "files", strange)
  rest = run_names.unnamed(workdir)
  if overwrite and rest:
    rule = f"the folder of a run to overwrite, and it holds {_some(rest)}"
    more = "move that away, or begin beside it with `existing` as 'continue'"
    checks.fail("workdir", str(workdir), f"{rule} ({more})")


def is_run(workdir):
  """Whether a run of this program's was begun in a folder."""
  mark = _content(workdir, run_names.LOCK)
  # A run that has just begun on a full disk: its mark may be cut short and its
  # journal empty.
  rows = _content(workdir, run_names.JOURNAL)
  empty = _is_mark(mark) and rows == b""
  return mark == _MARK or empty or bool(_newest_log(workdir).get("fits"))


def _others_checkpoints(workdir):
  """Paths of checkpoints that TensorFlow wrote for somebody else."""
  files = _checkpoints(workdir)
  return [
    f"{run_names.CHECKPOINTS}/ckpt-{serial}{run_names.INDEX}"
    for serial in files.serials()
    if files.lacks(serial, "log")
  ]


def _checkpoints(workdir):
  folder = os.path.join(workdir, run_names.CHECKPOINTS)
  return CheckpointFiles(folder, keep=1)


def newest_fits(workdir):
  """The `FitEntry` of each fit in the newest checkpoint that can be read; []
  without one, or where another version of this program wrote it."""
  log = _newest_log(workdir)
  readable = log.get("version") == fit_log.VERSION
  return fit_log.FitLog.from_json(log).fits if readable else []


def _newest_log(workdir):
  """The log of the newest checkpoint that can be read, as a dict; or {}."""
  files = _checkpoints(workdir)
  for serial in reversed(files.serials()):
    with contextlib.suppress(Exception):  # damage has many kinds
      log = files.read(serial, {"log": tf.string})["log"].numpy()
      return json.loads(log)
  return {}


def lock(workdir):
  """An open file that holds the folder's lock; death frees it."""
  file = run_files.opened(os.path.join(workdir, run_names.LOCK))
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError:
    os.close(file)
    checks.fail("workdir", str(workdir), "a folder no other process trains in")
  mark = os.pread(file, len(_MARK), 0)
  if mark != _MARK and _is_mark(mark):
    with contextlib.suppress(OSError):  # warned of where rows can't be written
      os.pwrite(file, _MARK, 0)
  return file


def _is_mark(content):
  """Whether that is the mark of a run, or what a full disk took of it."""
  return content is not None and _MARK.startswith(content)


def _content(workdir, name):
  """The first bytes of a file; None if it can't be read."""
  try:
    with open(os.path.join(workdir, name), "rb") as file:
      return file.read(len(_MARK))
  except OSError:
    return None


def _is_dry(path):
  return run_names.is_events(path) and run_names.is_dry(path)


def _refuse_strange(workdir, what, paths):
  if paths:
    rule = f"a folder without another program's {what} ({_some(paths)})"
    more = "move that away or take another workdir"
    checks.fail("workdir", str(workdir), f"{rule}: {more}")


def _some(paths):
  """The first of some paths in one line, and how many more there are."""
  more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
  first = os.fsencode(paths[0]).decode(errors="replace")
  return f"{' '.join(first.split())}{more}"
