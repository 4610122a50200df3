"""Every flag of every script: documented, without TensorFlow."""

import json
import subprocess
import sys

import pytest

from support import commands, readmes

FOLDER = commands.ROOT / "scripts"
SCRIPTS = sorted(
  str(path.relative_to(FOLDER))
  for path in FOLDER.rglob("*.py")
  if "app.run(" in path.read_text()
  and '\nif __name__ == "__main__":\n' in path.read_text()
)
# Runs a script's --help in this process, then asks absl what it knows.
DRIVER = """
import contextlib, io, json, pathlib, runpy, sys
from absl import flags

script = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(script.parent))
sys.argv = [str(script), "--help"]
said, code = io.StringIO(), "none"
with contextlib.redirect_stdout(said):
  try:
    runpy.run_path(str(script), run_name="__main__")
  except SystemExit as error:
    code = error.code
found = []
for module, group in flags.FLAGS.flags_by_module_dict().items():
  for flag in group if not module.startswith("absl") else ():
    kind = type(flag.parser).__name__
    found.append([flag.name, kind, flag.help, flag.default])
heavy = {"tensorflow", "keras", "jax", "torch"}
heavy = sorted(heavy.intersection(sys.modules))
print(json.dumps([code, said.getvalue(), found, heavy]))
"""


@pytest.fixture(scope="module")
def helps():
  """{script: [exit code, its --help, flags, heavy modules it imported]}."""
  running = {
    script: subprocess.Popen(
      [sys.executable, "-c", DRIVER, str(FOLDER / script)],
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for script in SCRIPTS
  }
  found = {}
  for script, process in running.items():
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, (script, err)
    found[script] = json.loads(out)
  return found


def test_all_scripts_are_there():
  assert {"train.py", "sweep.py", "chaos.py", "benchmark.py"} <= set(SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_says_what_every_flag_is(helps, script):
  code, said, flags, heavy = helps[script]
  assert code in (0, None), said
  assert heavy == []
  assert flags and "\n  python " in said
  for name, kind, text, default in flags:
    assert text, name
    assert f"--{name}:" in said or f"--[no]{name}:" in said, name
    if default is None:
      assert "unset" in text, f"--{name}: what follows where it is not given"
    if kind in ("IntegerParser", "FloatParser"):
      assert "[" in text and "]" in text, f"--{name}: which unit"


@pytest.mark.parametrize("path", readmes.PATHS)
def test_documents_name_scripts_and_flags_that_exist(helps, path):
  for script, named in readmes.named(path):
    known = {flag[0] for flag in helps[script][2]} | {"help", "verbosity"}
    assert set(named) <= known, (path, script)
