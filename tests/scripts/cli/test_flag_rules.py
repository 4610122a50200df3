"""Integer flags: a value out of range ends the program with one line."""

import subprocess
import sys

import pytest

from support import commands

_PROGRAM = """
import sys
from cli import flag_rules
flag_rules.integer("size", 1, "of it", 1)
flag_rules.numbers(
  "sizes", "1", "of it", kind=int, accept=lambda n: n > 0, rule="integers > 0"
)
flag_rules.parse(sys.argv)
"""


@pytest.mark.parametrize("flag", ["size", "sizes"])
def test_an_integer_out_of_range_is_refused_in_one_line(flag):
  for value in ("9" * 400, "9" * 5000, str(2**31), "-1", "0", "many", "1.5"):
    lines = _ends(f"--{flag}={value}", 2)
    assert len(lines) == 1 and lines[0].startswith("error: flag --"), lines


def test_the_largest_integer_is_accepted():
  assert _ends(f"--size={2**31 - 1}", 0) == []
  assert _ends(f"--sizes=1,{2**31 - 1}", 0) == []


def _ends(flag, code):
  done = subprocess.run(
    [sys.executable, "-c", _PROGRAM, flag],
    cwd=commands.ROOT / "scripts",
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == code, done.stderr
  return done.stderr.splitlines()
