"""What is exported; an import of it does nothing else."""

import subprocess
import sys

import pytest

import kernels
import trainloop


@pytest.mark.parametrize("module", [kernels, trainloop])
def test_all_is_what_is_there(module):
  by_ruff = sorted(module.__all__, key=lambda name: (not name.isupper(), name))
  assert by_ruff == list(module.__all__)
  for name in module.__all__:
    assert getattr(module, name).__doc__, name


def test_importing_has_no_side_effect(tmp_path):
  code = "import kernels, trainloop, os; print(os.listdir('.'))"
  done = subprocess.run(
    [sys.executable, "-c", code],
    cwd=tmp_path,
    capture_output=True,
    text=True,
    check=True,
  )
  assert done.stdout.strip() == "[]"
