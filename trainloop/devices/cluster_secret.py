"""A secret that the workers of a run share; `handshake` proves to have it."""

import os
import stat

from kernels import checks

VARIABLE = "TRAINLOOP_CLUSTER_SECRET_FILE"
_LARGEST = 1 << 16


def read(path=None):
  """The secret of a file, or of the one that the environment names.

  Args:
    path: a file that others than its owner and group can't touch; None for
      that of TRAINLOOP_CLUSTER_SECRET_FILE.

  Returns:
    Its bytes without white space at the ends; b"" if no file is named.

  Raises:
    ValueError: if it is no such file, or empty.
  """
  name = "cluster_secret_file"
  if path is None:
    name, path = VARIABLE, os.environ.get(VARIABLE)
    if not path:
      return b""
  if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
    checks.fail(name, path, "the path of a file")
  try:
    # A pipe without a writer must not hold the start.
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
  except (OSError, ValueError) as error:
    why = getattr(error, "strerror", None) or error
    checks.fail(name, path, f"a file that can be read ({why})")
  try:
    mode = os.fstat(file).st_mode
    if not stat.S_ISREG(mode):
      checks.fail(name, path, "a regular file")
    if mode & 0o007:
      checks.fail(name, path, "closed to other users (chmod 600)")
    secret = os.read(file, _LARGEST + 1).strip()
  finally:
    os.close(file)
  if not secret or len(secret) > _LARGEST:
    checks.fail(name, path, f"a file of 1 to {_LARGEST} bytes of secret")
  return secret
