"""--compile_cache: what a script says of it, and what it gives TensorFlow."""

import os
import subprocess
import sys

import pytest

from support import commands

# A script's beginning, without TensorFlow.
SCRIPT = """import os, sys
from absl import app
from cli import cache_flag, flag_rules, verbosity
def main(argv):
  cache_flag.check()
  cache_flag.start()
  print(os.environ.get("TF_XLA_FLAGS"), os.environ.get("TF_CPP_MIN_LOG_LEVEL"))
verbosity.define()
cache_flag.define()
app.run(main, flags_parser=flag_rules.parse)
"""


@pytest.fixture
def script(tmp_path):
  """A function of flags: the finished process."""
  own = ("TF_XLA_FLAGS", "TF_CPP_MIN_LOG_LEVEL")
  env = {name: os.environ[name] for name in os.environ if name not in own}
  places = (commands.ROOT, commands.ROOT / "scripts")
  env["PYTHONPATH"] = os.pathsep.join(map(str, places))

  def run(*flags, **variables):
    return subprocess.run(
      [sys.executable, "-c", SCRIPT, *flags],
      capture_output=True,
      text=True,
      cwd=tmp_path,
      env={**env, **variables},
      check=False,
    )

  return run


def test_it_is_on_and_tensorflow_is_quiet(script):
  done = script("--compile_cache=here")
  flags, level = done.stdout.rsplit(maxsplit=1)
  assert "--tf_xla_persistent_cache_directory=" in flags and level == "3"
  for own, level in (("2", "3"), ("1", "1")):
    done = script("--compile_cache=here", TF_CPP_MIN_LOG_LEVEL=own)
    assert done.stdout.endswith(f" {level}\n")
  loud = script("--compile_cache=here", "--verbosity=1")
  assert loud.stdout.endswith(" None\n")
  assert (done.stderr, done.returncode) == (loud.stderr, 0)


def test_none_switches_it_off(script):
  done = script("--compile_cache=none")
  assert (done.stdout, done.stderr) == ("None None\n", "")


def test_no_path_is_an_error(script):
  done = script("--compile_cache=")
  line = "error: --compile_cache must be a folder's path or none; got ''\n"
  assert (done.stderr, done.returncode, done.stdout) == (line, 2, "")


def test_a_folder_that_cannot_be_used_is_said_once(script, tmp_path):
  (tmp_path / "file").write_text("mine")
  done = script("--compile_cache=file")
  assert done.stdout == "None None\n" and done.returncode == 0
  (line,) = done.stderr.splitlines()
  assert line.startswith("warning: no --compile_cache=file: ")
  # What nobody has named is not spoken of.
  quiet = script(TRAINLOOP_COMPILE_CACHE=str(tmp_path / "file"))
  assert (quiet.stdout, quiet.stderr) == ("None None\n", "")
