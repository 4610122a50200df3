"""Runs whose disk fails at the n-th call of a kind; prints what is wrong.

LD_PRELOAD=disk_errors.so python disk_errors.py FOLDER CASE...: of each case
KIND:MOST:LENGTH:ERRNO, for each n up to MOST, LENGTH calls from the n-th on
fail with that error.
"""

import ctypes
import errno
import pathlib
import sys

import tensorflow as tf

from support import reruns
from trainloop.workdir import records
from trainloop.workdir.checkpoints import saver

KINDS = (
  *("write", "sync", "rename", "unlink", "truncate", "mkdir"),
  *("create", "close", "stat"),
)


class Disk:
  """The failing disk that is loaded."""

  def __init__(self):
    self._calls = ctypes.CDLL(None)

  def fails(self, folder, kind, first, last, code):
    """From here on calls number first .. last of a kind below a folder do."""
    where = str(folder).encode()
    self._calls.disk_arm(where, KINDS.index(kind), first, last, code)

  def count(self, kind):
    """Calls of a kind below that folder since then."""
    return self._calls.disk_count(KINDS.index(kind))


def leftovers(workdir):
  """What no run leaves: parts, checkpoints beyond two, torn records."""
  names = [path.name for path in workdir.rglob("*")]
  found = [name for name in names if "part" in name.split("-")[0].split(".")]
  if len([name for name in names if name.startswith("ckpt-")]) != 4:
    found += [name for name in names if name.startswith("ckpt-")]
  for path in workdir.rglob("events.out.*"):
    try:
      for _ in tf.data.TFRecordDataset(str(path)):
        pass
    except tf.errors.OpError as error:
      found.append(f"{path.name}: {error}")
  return found


def check(runs, disk, whole, workdir, case):
  """One run on a disk that fails, gone on with where it ended."""
  disk.fails(workdir, *case)
  wrong = []
  try:
    history = runs.fit(workdir)
  except (OSError, ValueError) as error:
    if "\n" in str(error):
      wrong.append(f"more than a line: {error}")
    hit = disk.count(case[0]) >= case[1]
    disk.fails("", "write", 0, 0, 0)
    history = runs.fit(workdir)
  else:
    hit = disk.count(case[0]) >= case[1]
  disk.fails("", "write", 0, 0, 0)
  found = runs.outcome(workdir, history)
  wrong += [name for name in whole if found[name] != whole[name]]
  wrong += leftovers(workdir)
  if not runs.fit(workdir).restored or runs.told:
    wrong.append(f"not as it was written: {runs.told}")
  return wrong, hit


def sweep(runs, disk, whole, kind, most, length, code):
  """All n of a case; prints what was wrong, and how many runs had an error."""
  tried = 0
  for n in range(1, int(most) + 1):
    case = (kind, n, n + int(length) - 1, getattr(errno, code))
    try:
      wrong, hit = check(runs, disk, whole, runs.new(), case)
    except Exception as error:
      wrong, hit = [f"{type(error).__name__}: {error}"], True
      disk.fails("", "write", 0, 0, 0)
    tried += hit
    if wrong:
      print("WRONG", *case, *wrong)
  print(kind, "tried", tried)


def main(folder, *cases):
  saver._RETRY_SECONDS = 0.0
  records.time.sleep = lambda seconds: None
  runs, disk = reruns.Reruns(pathlib.Path(folder)), Disk()
  workdir = runs.new()
  whole = runs.outcome(workdir, runs.fit(workdir))
  for case in cases:
    sweep(runs, disk, whole, *case.split(":"))


if __name__ == "__main__":
  main(*sys.argv[1:])
