"""train.sh and test.sh: they set up, say what they do, and fail in a line."""

import pathlib
import shutil
import stat
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TOOLS = ("bash", "dirname", "cksum", "cat", "rm", "grep", "env", "readlink")


@pytest.fixture
def copy(tmp_path):
  """A checkout without .venv, and a PATH with the basic tools only."""
  root = tmp_path / "checkout"
  shutil.copytree(ROOT / "scripts", root / "scripts")
  shutil.copy(ROOT / "pyproject.toml", root)
  tools = tmp_path / "bin"
  tools.mkdir()
  for tool in TOOLS:
    found = shutil.which(tool)
    if found:
      (tools / tool).symlink_to(found)
  return root, tools


def fake(tools, name, text):
  path = tools / name
  path.write_text(f"#!{shutil.which('bash')}\n{text}\n")
  path.chmod(path.stat().st_mode | stat.S_IEXEC)


def run(root, tools, script="train.sh", **env):
  return subprocess.run(
    [shutil.which("bash"), str(root / "scripts" / script)],
    env={"PATH": str(tools), **env},
    capture_output=True,
    text=True,
    timeout=60,
    check=False,
  )


@pytest.mark.parametrize("script", ["train.sh", "test.sh"])
def test_no_python(copy, script):
  done = run(*copy, script)
  assert done.returncode == 1
  assert done.stderr.splitlines() == [
    "error: no Python 3.10 to 3.13 found; install one or set PYTHON to its path"
  ]


def test_an_old_python_is_refused(copy):
  root, tools = copy
  fake(tools, "python3", "exit 1")
  assert "no Python 3.10 to 3.13" in run(root, tools).stderr
  done = run(root, tools, PYTHON="python3")
  assert (
    done.stderr.strip() == "error: PYTHON=python3 is not Python 3.10 to 3.13"
  )


@pytest.mark.parametrize(
  ("output", "reason"),
  [
    ("ERROR: No matching distribution found", "no package index could be"),
    ("NewConnectionError: failed", "no package index could be reached"),
    ("OSError: [Errno 28] No space left on device", "no space left on the dis"),
    ("something else", "see "),
  ],
)
def test_a_failed_installation_is_one_line(copy, output, reason):
  root, tools = copy
  # Stands in for python: makes a .venv that holds itself, whose pip fails.
  fake(
    tools,
    "python3",
    f"""case "$*" in
  "--version") echo Python 3.12;;
  "-m venv"*) {shutil.which("mkdir")} -p "$3/bin"
    {shutil.which("cp")} "$0" "$3/bin/python";;
  "-m pip --version") exit 0;;
  "-m pip"*) echo "{output}"; exit 1;;
esac""",
  )
  done = run(root, tools)
  assert done.returncode == 1
  (line,) = done.stderr.splitlines()
  assert line.startswith(f"error: not installed: {reason}")
  assert not list((root / ".venv").glob(".installed*"))


@pytest.fixture
def ready(copy):
  """A checkout whose .venv is there; its Python says what it is called with."""
  root, tools = copy
  python = root / ".venv" / "bin" / "python"
  python.parent.mkdir(parents=True)
  python.write_text(
    '#!/bin/sh\necho "${PYTHONHOME-none} ${PYTHONSAFEPATH-none} $*"\n'
  )
  python.chmod(0o755)
  done = subprocess.run(
    ["cksum"],
    input=(root / "pyproject.toml").read_bytes(),
    capture_output=True,
    check=True,
  )
  for extra in ("test", "examples"):
    stamp = root / ".venv" / f".installed-{extra}"
    stamp.write_text(f"{done.stdout.decode().strip()} {root}\n")
  return root, tools


def shadowed(folder):
  """A file for BASH_ENV in which shell words mean something else."""
  path = folder / "profile"
  path.write_text("cd() { echo moved; builtin cd /; }\npwd() { echo here; }\n")
  return str(path)


@pytest.mark.parametrize("script", ["train.sh", "test.sh"])
@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize(
  "how", ["file", "link", "links", "folder", "BASH_ENV", "function", "Python"]
)
def test_it_starts_wherever_it_is_called_from(
  how, shell, script, ready, tmp_path
):
  root, tools = ready
  path, env = root / "scripts" / script, {"PATH": str(tools)}
  if how in ("link", "links"):
    (tmp_path / "first").symlink_to(path)
    (tmp_path / "second").symlink_to("first")
    path = tmp_path / ("first" if how == "link" else "second")
  elif how == "folder":
    (tmp_path / "linked").symlink_to(root / "scripts")
    path = tmp_path / "linked" / script
  elif how == "BASH_ENV":
    env["BASH_ENV"] = env["ENV"] = shadowed(tmp_path)
    env["CDPATH"] = "/:/tmp"
  elif how == "function":
    env["BASH_FUNC_cd%%"] = "() { echo moved; builtin cd /; }"
  elif how == "Python":
    env |= {"PYTHONHOME": "/none", "PYTHONSAFEPATH": "1"}
  done = subprocess.run(
    [shutil.which(shell), str(path), "--flag", "two words"],
    cwd=tmp_path,
    env=env,
    capture_output=True,
    text=True,
    timeout=60,
    check=False,
  )
  what = {
    "train.sh": f"{root / 'scripts' / 'train.py'}",
    "test.sh": "-m pytest",
  }
  assert done.returncode == 0, done.stderr
  assert done.stdout == f"none none {what[script]} --flag two words\n"
  assert done.stderr == ""


def test_nothing_to_do_is_nothing_done():
  """The set-up part alone, in this very checkout if it has its .venv."""
  stamp = ROOT / ".venv" / ".installed-test"
  if not stamp.exists():
    pytest.skip("this checkout runs without its .venv")
  for _ in range(2):  # the first may have to install
    before = stamp.stat().st_mtime_ns
    done = subprocess.run(
      ["bash", "-c", "source scripts/env.sh test && echo $python"],
      cwd=ROOT,
      capture_output=True,
      text=True,
      check=True,
    )
  assert stamp.stat().st_mtime_ns == before
  assert done.stdout.strip() == str(ROOT / ".venv" / "bin" / "python")
