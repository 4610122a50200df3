"""What the README files show works as it stands there."""

import inspect
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from support import commands, readmes

# Run by their own tests, or elsewhere: what is checked here is in `test_help`.
NOT_HERE = (
  ["bash", "scripts/test.sh"],
  ["python", "scripts/launch_workers.py"],
  ["python", "scripts/sweep.py"],
  ["trainloop/.venv/bin/python"],  # test_three_commands.py
  ["git", "clone"],
)
# Runs each command in a forked process, so that TensorFlow is imported once.
DRIVER = """
import json, os, runpy, sys
from kills import runs
from training import datasets, job  # TensorFlow among it
import train
import sklearn.datasets

codes = {}
for command in json.loads(sys.argv[1]):
  script, *rest = command
  def child():
    sys.argv = [script, *rest]
    sys.path.insert(0, os.path.dirname(script))
    runpy.run_path(script, run_name="__main__")
  codes[" ".join(command)] = runs.wait(runs.fork(child, "log.txt"))
print(json.dumps(codes))
"""
# What `package.module:function` stands for.
MODULE = """
import keras

def function(shape, outputs):
  return keras.Sequential([keras.Input(shape), keras.layers.Flatten(),
                           keras.layers.Dense(outputs, activation="softmax")])
"""


def run(*command, cwd):
  return subprocess.Popen(
    [sys.executable, *command],
    cwd=cwd,
    env={**commands.os.environ, "PYTHONPATH": path_of_scripts()},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def path_of_scripts():
  return f"{commands.ROOT}:{commands.ROOT / 'scripts'}"


def ours(path):
  """The commands of a document that are run here: [script, arguments]."""
  found = []
  for words in readmes.commands(path):
    if any(words[: len(other)] == other for other in NOT_HERE):
      continue
    kind, script, *rest = words
    script = script.removeprefix("trainloop/")  # from beside the checkout
    script = script.replace("train.sh", "train.py")
    assert kind in ("python", "bash") and script.endswith(".py"), words
    if script.endswith(("train.py", "examples.py")) and "--help" not in rest:
      rest.append("--dry_run")
    found.append([str(commands.ROOT / script), *rest])
  return found


@pytest.fixture(scope="module")
def done(tmp_path_factory):
  """{document: (exit code, what its Python said)}, and commands' exit codes."""
  pytest.importorskip("matplotlib")
  processes = {}
  for path in readmes.PATHS:
    if readmes.script(path):
      folder = tmp_path_factory.mktemp("script")
      (folder / "mine.py").write_text(readmes.script(path))
      processes[path] = (run("mine.py", cwd=folder), folder)
  folder = tmp_path_factory.mktemp("commands")
  prepare(folder)
  listed = json.dumps([c for path in readmes.PATHS for c in ours(path)])
  commands = run("-c", DRIVER, listed, cwd=folder)
  found = {}
  for path, (process, place) in processes.items():
    out, err = process.communicate(timeout=300)
    found[path] = (process.returncode, out, err, place)
  out, err = commands.communicate(timeout=300)
  assert commands.returncode == 0, err[-2000:]
  return found, json.loads(out.splitlines()[-1]), folder


def prepare(folder):
  """The files that the commands' placeholders stand for."""
  rng = np.random.default_rng(0)
  x = rng.normal(size=(80, 8, 8, 1)).astype("float32")
  y = (x[:, 0, 0, 0] > 0).astype("int64")
  np.savez(folder / "mine.npz", x_train=x, y_train=y, x_val=x, y_val=y)
  rows = [",".join([*map(str, row[:3]), str(k)])
          for row, k in zip(x.reshape(80, -1), y, strict=True)]  # fmt: skip
  (folder / "mine.csv").write_text("\n".join(rows) + "\n")
  (folder / "package").mkdir()
  (folder / "package" / "module.py").write_text(MODULE)


@pytest.mark.parametrize("path", readmes.PATHS)
def test_every_block_is_run_or_says_why_not(path):
  for block in readmes.blocks(path):
    assert block.language in ("python", "bash", "text"), block.text
  assert readmes.text(path).count("```") == 2 * len(readmes.blocks(path))
  ours(path)  # refuses a command that nobody runs


@pytest.mark.parametrize(
  "path", [p for p in readmes.PATHS if readmes.script(p)]
)
def test_the_python_in_it_runs(done, path):
  code, _, err, _ = done[0][path]
  assert code == 0, err[-2000:]


@pytest.mark.parametrize("path", readmes.PATHS)
def test_the_commands_in_it_run(done, path):
  for command in ours(path):
    assert done[1][" ".join(command)] == 0, (done[2] / "log.txt").read_text()


def test_the_script_is_short_and_says_what_it_does(done):
  script = readmes.script("README.md")
  assert len([line for line in script.splitlines() if line.strip()]) <= 20
  _, out, _, folder = done[0]["README.md"]
  lines = out.strip().splitlines()
  found = re.fullmatch(
    r"\[0\.95 +0\.85\d* +0\.95\d* *\] .*accuracy': (.*)}", lines[-1]
  )
  assert found and float(found[1]) > 0.8, lines[-1]
  assert lines[0].startswith("model") and len(lines) <= 10 + 18
  assert [path.name for path in folder.iterdir()] == ["mine.py"]


def test_the_page_of_the_loop_names_files_that_exist():
  (page,) = [
    block.text
    for block in readmes.blocks("trainloop/README.md")
    if block.language == "text"
  ]
  names = re.findall(r"[\w/]+\.py", page)
  assert len(names) > 20
  for name in names:
    assert (commands.ROOT / "trainloop" / name).is_file(), name


def test_the_files_and_headings_it_names_exist():
  for path in readmes.PATHS:
    text, folder = readmes.text(path), (commands.ROOT / path).parent
    for name in re.findall(r"`((?:tests|scripts)/[\w/.]+\.\w+)`", text):
      assert (commands.ROOT / name).exists(), (path, name)
    for name, _, heading in re.findall(r"\]\(([\w/.]+)(#([\w-]+))?\)", text):
      assert (folder / name).is_file(), (path, name)
      if heading:
        heads = re.findall(r"^#+ (.*)$", (folder / name).read_text(), re.M)
        slugs = [re.sub(r"[^\w -]", "", h.lower()) for h in heads]
        assert heading in [s.replace(" ", "-") for s in slugs], heading


def known_arguments():
  """Names of all arguments of public functions and classes."""
  import keras

  import kernels
  import trainloop

  loop = trainloop.TrainLoop
  things = [*vars(kernels).values(), *vars(trainloop.recipes).values()]
  things += [getattr(trainloop, name) for name in trainloop.__all__]
  things += [loop.fit, trainloop.ArrayData.split, kernels.OneCycle.preset]
  things += [keras.optimizers.SGD]
  found = {"training"}  # of a user's `step`
  for one in filter(callable, things):
    if not (isinstance(one, type) and issubclass(one, Exception)):
      found |= set(inspect.signature(one).parameters)
  return found


@pytest.mark.parametrize("path", ["trainloop/PORTING.md"])
def test_what_its_tables_say_to_write_exists(path):
  import kernels
  import trainloop

  rows = re.findall(r"^\| (.+) \| (.+) \|$", readmes.text(path), re.M)
  assert len(rows) > 60
  arguments, seen = known_arguments(), 0
  modules = {"trainloop": trainloop, "kernels": kernels}
  for there, here in rows:
    for code in re.findall(r"`([^`]+)`", here):
      for name in re.findall(r"(?<![\w.])(\w+)=", code):
        assert name in arguments, (there, code, name)
        seen += 1
      public = re.findall(r"\b(trainloop|kernels)\.([\w.]+)", code)
      for module, dotted in public:
        thing = modules[module]
        for part in dotted.split("."):
          thing = getattr(thing, part)
        seen += 1
      for name in re.findall(r"\bloop\.(\w+)", code):
        assert hasattr(trainloop.TrainLoop, name), (there, code)
  assert seen > 60


def test_the_first_page_stays_small():
  assert len(readmes.text("README.md").splitlines()) <= 240
