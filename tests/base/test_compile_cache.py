"""The cache of compiled programs changes nothing but time, whatever befalls it.

Real processes: TensorFlow reads its flags once.
"""

import os
import subprocess
import sys

import pytest

from support import commands
from trainloop.base import compile_cache

PATHS = os.pathsep.join([commands.PATHS, str(commands.ROOT / "scripts")])
PROGRAM = str(commands.PROCESSES / "cached.py")
# Switches the cache on, without TensorFlow.
ALONE = """import os, sys
from cli import light
print(light.compile_cache.compile_cache(*sys.argv[1:]) or "on")
print(os.environ.get("TF_XLA_FLAGS", ""))
"""


def python(*arguments, **variables):
  """The lines that a process prints on standard output."""
  done = subprocess.run(
    [sys.executable, *map(str, arguments)],
    capture_output=True,
    text=True,
    env={**os.environ, "PYTHONPATH": PATHS, **variables},
    check=False,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  return done.stdout.splitlines()


# A script of a library's user.
LIBRARY = """import sys
import tensorflow as tf
import trainloop
print(trainloop.compile_cache(sys.argv[1]) or "on")
tf.function(lambda x: x @ x, jit_compile=True)(tf.ones([8, 8]))
"""


def alone(*arguments, **variables):
  return python("-c", ALONE, *arguments, **variables)


class Compiled:
  """Processes that compile six functions, and how many XLA had to.

  Args:
    folder: where XLA says what it compiles.
  """

  def __init__(self, folder):
    self._folder = folder
    self._flags = f"--xla_dump_to={folder} --xla_dump_hlo_as_text"

  def run(self, cache):
    """(why there is no cache, what was computed, how many were compiled)."""
    for path in self._folder.iterdir():
      path.unlink()  # another process gives its files the same names
    why, *values = python(PROGRAM, cache, XLA_FLAGS=self._flags)
    names = [path.name for path in self._folder.iterdir()]
    return why, values, sum("before_optimizations" in n for n in names)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
  return Compiled(tmp_path_factory.mktemp("dumps"))


@pytest.fixture(scope="module")
def fresh(compiled):
  """What a process without a cache computes."""
  why, values, count = compiled.run("none")
  assert (why, len(values), count) == ("it is switched off", 6, 6)
  return values


def entries(cache):
  return sorted(cache.glob("*/*"))


def test_damaged_programs_are_compiled_again(tmp_path, compiled, fresh):
  cache = tmp_path / "cache"
  assert compiled.run(cache) == ("on", fresh, 6)
  cut, empty, flipped, folder, link, _ = stored = entries(cache)
  cut.write_bytes(cut.read_bytes()[:-1])
  empty.write_bytes(b"")
  data = bytearray(flipped.read_bytes())
  data[len(data) // 2] ^= 1
  flipped.write_bytes(data)
  folder.unlink()
  folder.mkdir()
  link.unlink()
  link.symlink_to(tmp_path / "nowhere")
  # As a process leaves it that is killed while it writes.
  part = stored[0].with_name(f"1-{stored[0].name}.part")
  part.write_bytes(b"half")
  assert compiled.run(cache) == ("on", fresh, 5)
  assert compiled.run(cache) == ("on", fresh, 0)


def test_a_full_disk_only_costs_time(disk, compiled, fresh):
  cache = disk / "cache"
  assert compiled.run(cache)[:2] == ("on", fresh)
  filler = disk / "filler"
  with filler.open("wb", buffering=0) as file, pytest.raises(OSError):
    while True:
      file.write(b"x" * 4096)
  before = entries(cache)
  before[0].write_bytes(b"")
  with filler.open("ab", buffering=0) as file, pytest.raises(OSError):
    while True:
      file.write(b"x" * 4096)
  assert compiled.run(cache)[:2] == ("on", fresh)
  assert entries(cache) == before[1:]


def test_a_users_script_has_it(tmp_path):
  assert python("-c", LIBRARY, tmp_path / "a") == ["on"]
  assert len(entries(tmp_path / "a")) == 1


def test_two_processes_share_a_new_cache(tmp_path, compiled, fresh):
  cache = tmp_path / "cache"
  both = [
    subprocess.Popen(
      [sys.executable, PROGRAM, str(cache)],
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,
      text=True,
      env={**os.environ, "PYTHONPATH": PATHS},
    )
    for _ in range(2)
  ]
  for process in both:
    assert process.communicate()[0].splitlines() == ["on", *fresh]
  names = [path.name.partition(".")[0] for path in entries(cache)]
  assert len(set(names)) == 6


def test_a_place_that_is_no_folder_is_said(tmp_path):
  file, link = tmp_path / "file", tmp_path / "link"
  file.write_text("mine")
  link.symlink_to(tmp_path / "nowhere")
  for folder in (file, link, file / "below"):
    why, flags = alone(folder)
    assert str(folder.parent) in why and flags == ""
  assert file.read_text() == "mine" and link.is_symlink()
  assert not (tmp_path / "nowhere").exists()


def test_the_folder_is_that_of_the_variable_or_of_the_user(tmp_path):
  unset = {compile_cache.VARIABLE: "", "XDG_CACHE_HOME": str(tmp_path / "a")}
  assert alone(**unset)[0] == "on"
  assert list(tmp_path.glob("a/trainloop/xla/tf*"))
  home = {**unset, "XDG_CACHE_HOME": "", "HOME": str(tmp_path)}
  assert alone(**home)[0] == "on"
  assert list(tmp_path.glob(".cache/trainloop/xla/tf*"))
  alone(**{compile_cache.VARIABLE: str(tmp_path / "b")})
  assert list(tmp_path.glob("b/tf*"))
  assert alone(**{compile_cache.VARIABLE: "none"})[0] == "it is switched off"


def test_flags_of_the_user_stay(tmp_path):
  own = "--tf_xla_clustering_debug=false"
  on, flags = alone(tmp_path, TF_XLA_FLAGS=own)
  assert on == "on" and flags.startswith(f"{own} --tf_xla_persistent_cache_d")
  # A child of such a process has a place of its own.
  _, again = alone(tmp_path, TF_XLA_FLAGS=flags)
  assert again.split()[0] == own and len(again.split()) == len(flags.split())
  assert again != flags
  own = "--tf_xla_persistent_cache_directory=/mine"
  assert alone(tmp_path, TF_XLA_FLAGS=own) == [
    "TF_XLA_FLAGS names another",
    own,
  ]
  assert alone(tmp_path, TF_XLA_FLAGS="flags.txt") == [
    "TF_XLA_FLAGS names a file of flags",
    "flags.txt",
  ]


@pytest.mark.parametrize("name", ["XLA_FLAGS", "TF_XLA_FLAGS"])
def test_other_flags_have_a_store_of_their_own(tmp_path, name):
  for value in ("", "--a=1", "--a=1", "--a=2"):
    alone(tmp_path, **{name: value})
  assert len(list(tmp_path.iterdir())) == 3


def test_what_was_used_longest_ago_goes(tmp_path):
  store = tmp_path / "tf2.0-0123456789abcdef"
  store.mkdir()
  big = compile_cache.LIMIT // 3
  sizes = {"old": big, "used": big, "new": big, "half": big}
  times = {"old": (1, 1), "used": (9, 0), "new": (5, 5), "half": (2, 2)}
  paths = {}
  for i, (name, size) in enumerate(sizes.items()):
    entry = f"xla_compile_cache__{i}__XLA_CPU_JIT.pb.{i:064x}"
    paths[name] = store / (f"1-{entry}.part" if name == "half" else entry)
    with paths[name].open("wb") as file:
      file.truncate(size)
    os.utime(paths[name], times[name])
  mine = tmp_path / "notes.pb"
  with mine.open("wb") as file:
    file.truncate(2 * compile_cache.LIMIT)
  assert alone(tmp_path)[0] == "on"
  assert {n for n, path in paths.items() if path.exists()} == {
    "used",
    "new",
    "half",
  }
  assert mine.exists()


def test_nothing_stays_where_tensorflow_wrote(tmp_path):
  killed = ALONE + "os.kill(os.getpid(), 9)"
  process = subprocess.run(
    [sys.executable, "-uc", killed, str(tmp_path)],
    capture_output=True,
    text=True,
    env={**os.environ, "PYTHONPATH": PATHS},
    check=False,
  )
  places = [
    flags.split()[0].partition("=")[2]
    for flags in (process.stdout.splitlines()[1], alone(tmp_path)[1])
  ]
  assert process.returncode == -9 and len(set(places)) == 2
  assert not any(map(os.path.exists, places))
