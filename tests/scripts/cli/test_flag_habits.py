"""Flags of other programs, and values that were forgotten: one line each."""

import subprocess
import sys

import pytest

from support import commands

# Some flags of train.py, without the rest of it.
_PROGRAM = """
import sys
from absl import flags
from cli import flag_rules
for name in ("workdir", "peak_lr", "strategy", "data_path"):
  flags.DEFINE_string(name, None, "one")
flag_rules.integer("batch_size", 1, "one", 1)
flag_rules.integer("epochs", 1, "one", 1)
flags.DEFINE_bool("dry_run", False, "one")
flag_rules.parse(sys.argv)
print(flags.FLAGS.workdir)
"""


def _run(*words):
  done = subprocess.run(
    [sys.executable, "-c", _PROGRAM, *words],
    cwd=commands.ROOT / "scripts",
    capture_output=True,
    text=True,
    check=False,
  )
  return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
  ("words", "told"),
  [
    (["--lr=0.1"], "there is no flag --lr: write --peak_lr=0.1"),
    (["--learning_rate", "0.1"], "--learning_rate: write --peak_lr=0.1"),
    (["--resume"], "write --workdir=FOLDER, where the same command goes on"),
    (["--batch=32"], "there is no flag --batch: write --batch_size=32"),
    (["--gpu"], "there is no flag --gpu: write --strategy=one_device"),
    (["--num_epochs=3"], "write --epochs=20"),
    (["--epoch=3"], "write --epochs=20"),
    (["--patience=3"], "Unknown command line flag 'patience'"),
    (["--workdir", "--dry_run"], "--workdir needs a value: --workdir=VALUE; "
     "got '--dry_run' behind it"),
    (["--epochs", "--dry_run"], "--epochs needs a value"),
  ],
)  # fmt: skip
def test_the_flag_that_is_meant_is_named(words, told):
  code, text = _run(*words)
  assert code == 2 and text.startswith("error: ") and told in text
  assert text.count("\n") == 1


@pytest.mark.parametrize(
  "words",
  [
    ["--workdir", "--", "x"],
    ["--dry_run", "--workdir=a"],
    ["--workdir=--odd", "--nodry_run"],
    ["--workdir", "a", "--epochs", "3"],
    ["--workdir", "-1"],
  ],
)
def test_values_are_values(words):
  code, text = _run(*words)
  assert "needs a value" not in text
  assert code == 0 or "unexpected argument" in text
