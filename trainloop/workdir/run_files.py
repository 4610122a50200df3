"""The only place that makes, cuts, replaces and removes files of a workdir.

Each is a regular file of this user's, behind no link: what a planted name leads
to is never written. Temporary ones are new, or not written at all.
"""

import contextlib
import os
import shutil
import stat
import tempfile

from kernels import checks
from trainloop.workdir import run_names

_SAFE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS = (
  (stat.S_ISLNK, "a symbolic link"),
  (stat.S_ISDIR, "a folder"),
  (stat.S_ISREG, "a file"),
  (stat.S_ISFIFO, "a pipe"),
  (stat.S_ISSOCK, "a socket"),
)


def check(path, folder=False, alone=False):
  """Refuses what can't be a run's.

  Args:
    path: what there may be, or not.
    folder: whether it must be a folder, and not a file.
    alone: whether a file must have no other name, because it is written in
      its place.

  Raises:
    ValueError: if it is of another kind or of another user.
  """
  status = _status(path)
  if status is None:
    return
  is_it, kind = _KINDS[1 if folder else 2]
  if not is_it(status.st_mode):
    _refuse(path, f"{kind} and not {_kind(status.st_mode)}")
  _check_more(path, status, alone)


def _check_more(path, status, alone):
  uid = os.geteuid()
  if status.st_uid != uid:
    uid = _own_uid(os.path.dirname(path))
  if status.st_uid != uid:
    _refuse(path, f"user {uid}'s and not user {status.st_uid}'s")
  if alone and stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
    _refuse(path, "a file with one name and not with a hard link elsewhere")


def _own_uid(folder):
  """Whose a file is that this process makes: some disks map users."""
  try:
    with tempfile.TemporaryFile(dir=folder or ".") as file:
      return os.fstat(file.fileno()).st_uid
  except OSError:
    return os.geteuid()


def _status(path):
  try:
    return os.lstat(path)
  except (FileNotFoundError, NotADirectoryError):
    return None


def _kind(mode):
  return next((kind for is_it, kind in _KINDS if is_it(mode)), "a device")


def _refuse(path, rule):
  checks.fail("path", path, f"{rule} (move that away)")


def folder(path):
  """Makes a folder if it is missing; refuses what else there is."""
  check(path, folder=True)
  with contextlib.suppress(FileExistsError):
    os.mkdir(path)
  check(path, folder=True)


def opened(path, new=False):
  """A descriptor of a file to read and write, made if it is missing.

  Args:
    path: the file.
    new: whether it must be missing.

  Raises:
    ValueError: see `check`.
    FileExistsError: if it must be missing and is not.
  """
  if not new:
    check(path, alone=True)
  flags = os.O_RDWR | os.O_CREAT | _SAFE | (os.O_EXCL if new else 0)
  descriptor = os.open(path, flags, 0o644)
  status = os.fstat(descriptor)
  try:
    if not stat.S_ISREG(status.st_mode):
      _refuse(path, f"a file and not {_kind(status.st_mode)}")
    _check_more(path, status, alone=True)
  except ValueError:
    os.close(descriptor)
    raise
  return descriptor


def make(path):
  """Makes an empty file; FileExistsError if there is anything."""
  os.close(opened(path, new=True))


def cut(path, size):
  """Takes a file back to its first bytes."""
  check(path, alone=True)
  file = os.open(path, os.O_WRONLY | _SAFE)
  try:
    os.ftruncate(file, size)
  finally:
    os.close(file)


def remove(path):
  """Removes a file if it is there."""
  check(path)
  with contextlib.suppress(FileNotFoundError):
    os.remove(path)


def replace(part, path, folder=False):
  """Gives a file, or folder, its name; a file that has it goes."""
  check(path, folder)
  os.replace(part, path)


@contextlib.contextmanager
def made(path):
  """Where to make a file that then gets its name: whole, or not at all.

  Args:
    path: the file, whose folder is there.

  Yields:
    Another path of the same name, where nothing is.
  """
  check(path)
  where, name = os.path.split(path)
  with tempfile.TemporaryDirectory(dir=where or ".", prefix=".part-") as folder:
    part = os.path.join(folder, name)
    yield part
    replace(part, path)


@contextlib.contextmanager
def result(workdir, name):
  """As `made`, for a result of a run, file or folder.

  Args:
    workdir: the run's folder.
    name: one of a run's names.
  """
  check_result(workdir, name)
  remove_all(workdir, below=run_names.RESULTS_PART)  # what a kill left
  folder = os.path.join(workdir, run_names.RESULTS_PART)
  os.mkdir(folder, 0o700)
  try:
    part = os.path.join(folder, name)
    yield part
    if os.path.isdir(part):  # a folder is not replaced by another
      remove_all(workdir, below=name)
    replace(part, os.path.join(workdir, name), os.path.isdir(part))
  finally:
    shutil.rmtree(folder)  # follows no link


def check_result(workdir, name):
  """Refuses a result that would take the place of something of the user's."""
  for below in (name, run_names.RESULTS_PART):
    for path, is_folder in run_names.walk(workdir):
      if run_names.is_below(path, below):
        check(os.path.join(workdir, path), is_folder)
    for path in run_names.unnamed(workdir):
      if run_names.is_below(path, below):
        _refuse(os.path.join(workdir, path), f"elsewhere than in {below}")


def remove_all(workdir, below=""):
  """Removes what has a name of a run's, but the lock.

  Args:
    workdir: the run's folder.
    below: a folder in it that goes with all that a run puts there; "" for the
      whole workdir, whose runs stay as folders.

  Raises:
    ValueError: before anything is removed, if something is of another kind.
  """
  named = [
    n for n in run_names.walk(workdir) if run_names.is_below(n.path, below)
  ]
  for path, is_folder in named:
    check(os.path.join(workdir, path), is_folder)
  # First that which makes it a run, from the newest one on.
  named.sort(key=lambda n: run_names.serial_of(n.path) or 0, reverse=True)
  for path, is_folder in named:
    if not is_folder and path != run_names.LOCK:
      remove(os.path.join(workdir, path))
  for path, _ in sorted((n for n in named if n.is_folder), reverse=True):
    if not run_names.stays(path):
      with contextlib.suppress(OSError):  # something of the user's is in it
        os.rmdir(os.path.join(workdir, path))


def sync(path):
  """Waits until a file's, or a folder's, content is on the disk."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
