"""Another process sees the same identity of the same code."""

import json
import os
import subprocess
import sys

from support import commands
from trainloop.workdir import agreement

SCRIPT = commands.PROCESSES / "identities.py"


def seen(hashes, *more):
  """{kind: (identity, left out)} as a process with such hashes sees it."""
  done = subprocess.run(
    [sys.executable, str(SCRIPT), *more],
    env={**os.environ, "PYTHONHASHSEED": hashes},
    capture_output=True,
    text=True,
  )
  assert not done.returncode, done.stderr[-3000:]
  return json.loads(done.stdout.splitlines()[-1])


def test_hashes_and_names_do_not_count():
  one, other = seen("1"), seen("2", "more")
  for kind, (values, text) in one.items():
    assert text == other[kind][1], kind
    found = agreement.difference(values, other[kind][0], kind)
    assert found is None, found
    assert "not compared" not in text, (kind, text)
  names = json.dumps(list(one.values()))
  assert "dense_" not in names and "0x" not in names
