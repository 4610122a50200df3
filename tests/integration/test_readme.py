"""What README shows works as it stands there."""

import re
import subprocess
import sys

import pytest

import scripts_run

README = (scripts_run.ROOT / "README.md").read_text()


def blocks(language):
  return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_script_runs_from_another_folder(tmp_path):
  script, _ = blocks("python")
  assert len([line for line in script.splitlines() if line.strip()]) <= 20
  (tmp_path / "mine.py").write_text(script)
  done = subprocess.run(
    [sys.executable, "mine.py"],
    cwd=tmp_path,
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  last = done.stdout.strip().splitlines()[-1]
  found = re.fullmatch(
    r"\[0\.95 +0\.85\d* +0\.95\d* *\] .*accuracy': (.*)}", last
  )
  assert found, last
  assert float(found[1]) > 0.8
  assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


def test_the_sweep_goes_on_from_the_script(tmp_path):
  pytest.importorskip("matplotlib")
  (tmp_path / "mine.py").write_text("".join(blocks("python")))
  done = subprocess.run(
    [sys.executable, "mine.py"],
    cwd=tmp_path,
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  assert "{'valley': " in done.stdout.strip().splitlines()[-1]
  assert (tmp_path / "runs" / "sweep" / "sweep.png").is_file()


def commands():
  """The train.sh commands of README, without the shell around them."""
  text = "\n".join(blocks("bash")).replace("\\\n", " ")
  found = re.findall(
    r"^bash scripts/train\.sh(.*?)(?:#.*)?$", text, re.MULTILINE
  )
  return [command.split() for command in found]


@pytest.mark.parametrize("flags", commands(), ids=" ".join)
def test_the_commands_have_flags_that_exist(tmp_path, flags):
  flags = [flag for flag in flags if not flag.startswith("--data_path")]
  rest = [
    flag.replace("npz", "digits").replace("csv", "digits") for flag in flags
  ]
  if "--model=cnn" in rest:
    rest.remove("--model=cnn")
  rest = [f for f in rest if not f.startswith("--model=package")]
  done = scripts_run.train(*rest, "--dry_run", cwd=tmp_path)
  assert done.returncode == 0, done.stderr[-500:]


def test_the_tests_it_names_exist():
  for path in re.findall(r"`(tests/[\w/.]+)`", README):
    assert (scripts_run.ROOT / path).exists(), path
