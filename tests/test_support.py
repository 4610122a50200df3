"""Where tests lie: beside what they test; what they share, in support/."""

import ast
import pathlib

import pytest

HERE = pathlib.Path(__file__).resolve().parent


# Of no single file.
WHOLE = ("promises", "integration")
# What each kernel must keep, in tests/kernels.
EVERY_KERNEL = {
  "test_arguments.py",
  "test_boundaries.py",
  "test_compiled.py",
  "test_contract.py",
  "test_peers.py",
  "test_properties.py",
}


def imported(text):
  """The modules that a file's text imports, by their first name."""
  names = set()
  for node in ast.walk(ast.parse(text)):
    if isinstance(node, ast.Import):
      names |= {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom):
      names.add((node.module or "").partition(".")[0])
  return names


def of_tests(text, names):
  """Those of them that are tests, or lie among the tests but not in support."""
  return sorted(imported(text) & names - {"support"})


def names():
  """The modules below tests/ but not below support/."""
  files = [p for p in HERE.rglob("*.py") if HERE / "support" not in p.parents]
  return {path.stem for path in files}


@pytest.mark.parametrize(
  "text",
  [
    "import test_resume\n",
    "from test_resume import make\n",
    "def late():\n  import test_resume as other\n",
    "from conftest import ROOT\n",
  ],
)
def test_the_rule_sees(text):
  assert of_tests(f"from support import small\n{text}", names())


def test_no_test_imports_a_test():
  tests = names()
  for path in HERE.rglob("*.py"):
    assert not of_tests(path.read_text(), tests), path


def subject(path):
  """The file that a test module of a wing is about, from its place."""
  wing = path.relative_to(HERE).parent
  top = HERE.parent
  if wing.parts[0] not in ("kernels", "scripts"):
    top = top / "trainloop"
  return top / wing / path.name.removeprefix("test_")


def test_each_module_lies_beside_what_it_tests():
  for path in HERE.rglob("test_*.py"):
    wing = path.relative_to(HERE).parts[0]
    every = wing == "kernels" and path.name in EVERY_KERNEL
    if path.parent != HERE and wing not in WHOLE and not every:
      assert subject(path).is_file(), f"{path}: there is no {subject(path)}"


@pytest.mark.parametrize(
  ("place", "file"),
  [
    ("fit/test_signals.py", "trainloop/fit/signals.py"),
    (
      "workdir/tensorboard/test_panel.py",
      "trainloop/workdir/tensorboard/panel.py",
    ),
    ("kernels/test_steps.py", "kernels/steps.py"),
    ("scripts/cli/test_flag_rules.py", "scripts/cli/flag_rules.py"),
  ],
)
def test_where_it_looks(place, file):
  assert subject(HERE / place) == HERE.parent / file
  assert not subject(HERE / place).with_name("elsewhere.py").exists()
