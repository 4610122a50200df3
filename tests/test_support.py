"""What tests share lies in support/: no test imports a test."""

import ast
import pathlib

import pytest

HERE = pathlib.Path(__file__).resolve().parent


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
