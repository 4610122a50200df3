"""Each of the first calls of each kind fails: what ends as without it.

A run that ends goes on with the same call; no event is there twice, and nothing
is left over.
"""

import os
import re
import shutil
import subprocess
import sys

import pytest

from support import commands

# Kind, the first so many, how many one after another, the error.
CASES = (
  *("write:44:1:EIO", "write:6:500:ENOSPC", "sync:6:1:EIO", "rename:6:1:EIO"),
  *("unlink:12:1:EIO", "mkdir:5:1:EDQUOT"),
  *("create:6:1:EDQUOT", "close:6:1:EIO", "stat:6:1:EIO"),
)
MORE = (
  *("write:99:1:ENOSPC", "write:60:7:EDQUOT", "write:60:500:EIO"),
  *("sync:40:1:EIO", "sync:40:3:ENOSPC", "rename:30:1:EIO"),
  *("rename:30:4:ENOSPC", "unlink:30:1:EIO", "mkdir:9:2:EIO"),
  *("create:40:1:EIO", "create:40:5:EMFILE", "close:30:3:EIO"),
  *("stat:60:1:EIO", "stat:60:5:EIO"),
)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
  """The failing disk, compiled."""
  if not shutil.which("gcc"):
    pytest.skip("no gcc here")
  path = tmp_path_factory.mktemp("library") / "disk_errors.so"
  source = commands.PROCESSES / "disk_errors.c"
  command = ["gcc", "-shared", "-fPIC", "-o", path, source]
  subprocess.run([*command, "-ldl"], check=True)
  return path


def outcome(library, folder, cases):
  """What a process says of these cases: {kind: how many had an error}."""
  done = subprocess.run(
    [sys.executable, commands.PROCESSES / "disk_errors.py", folder, *cases],
    env={
      **os.environ,
      "LD_PRELOAD": str(library),
      "PYTHONPATH": commands.PATHS,
      "TF_CPP_MIN_LOG_LEVEL": "3",
    },
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr[-3000:]
  assert "WRONG" not in done.stdout, done.stdout
  found = re.findall(r"^(\w+) tried (\d+)$", done.stdout, re.MULTILINE)
  return [(kind, int(count)) for kind, count in found]


def test_each_of_the_first_calls_fails(library, tmp_path):
  found = outcome(library, tmp_path, CASES)
  assert found[0] == ("write", 44)
  assert len(found) == len(CASES)
  assert all(count for _, count in found), found


@pytest.mark.long
@pytest.mark.parametrize("case", MORE)
def test_each_of_all_calls_fails(library, tmp_path, case):
  assert outcome(library, tmp_path, [case])[0][1]
