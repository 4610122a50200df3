"""scripts/examples/: each runs; their --help needs no TensorFlow."""

import ast
import csv
import os
import re
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest

from support import commands
from trainloop.workdir.tensorboard import event_reader

FOLDER = commands.ROOT / "scripts" / "examples"
NAMES = (
  "actor_critic",
  "custom_step",
  "fine_tune",
  "gan",
  "images",
  "tabular",
  "text",
  "tfrecord",
)


def small_data(folder):
  """Small files of the kinds that the examples read."""
  rng = np.random.default_rng(0)
  y = rng.integers(0, 3, 120)
  x = np.zeros((120, 28, 28), np.uint8)
  x[np.arange(120), 4 + 8 * y] = 255  # a bright line, whose height is the class
  np.savez(folder / "images.npz", x_train=x[:90], y_train=y[:90],
           x_test=x[90:], y_test=y[90:])  # fmt: skip
  y = rng.integers(0, 2, 120)
  words = rng.integers(5, 40, (120, 12)) + 40 * y[:, None]
  np.savez(folder / "words.npz", x_train=words[:90], y_train=y[:90],
           x_test=words[90:], y_test=y[90:])  # fmt: skip
  with open(folder / "table.csv", "w", encoding="utf-8", newline="") as file:
    rows = rng.normal(size=(120, 3))
    csv.writer(file).writerows(
      [*row, "up" if row[0] > 0 else "down"] for row in rows.round(3)
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory):
  """{name: output} of all examples, with their workdirs in a folder."""
  folder = tmp_path_factory.mktemp("examples")
  small_data(folder)
  records = "--data_path=digits.tfrecord"
  calls = (
    ["custom_step", "--epochs=2", "--workdir=vae"],
    ["actor_critic", "--epochs=2", "--workdir=pole"],
    ["gan", "--kind=dcgan", "--epochs=1", "--workdir=dcgan"],
    ["gan", "--kind=wgan_gp", "--epochs=1", "--workdir=wgan"],
    ["fine_tune", "--blocks=1", "--before=1", "--freeze_epochs=1", "--epochs=2",
     "--labels=50", "--workdir=tuning"],
    ["images", "--data_path=images.npz", "--batch_size=10", "--epochs=4",
     "--filters=4", "--workdir=images"],
    ["tabular", "--data_path=table.csv", "--epochs=15", "--workdir=table"],
    ["text", "--data_path=words.npz", "--batch_size=10", "--num_words=100",
     "--max_length=12", "--workdir=text"],
    ["tfrecord", records, "--write"],
    ["tfrecord", records, "--epochs=2", "--workdir=records"],
  )  # fmt: skip
  arguments = [part for call in calls for part in (",", *call)][1:]
  script = commands.PROCESSES / "examples.py"
  ended = subprocess.run(
    [sys.executable, str(script), str(folder), *arguments],
    cwd=folder,
    env={**os.environ, "PYTHONPATH": commands.PATHS},
    capture_output=True,
    text=True,
    timeout=400,
    check=False,
  )
  found = {name: (folder / f"{name}.out").read_text() for name in NAMES}
  assert ended.returncode == 0, (ended.stderr[-1000:], found)
  return folder, found


@pytest.mark.parametrize(
  ("name", "least"),
  [("images", 0.9), ("tabular", 0.8), ("text", 0.9), ("tfrecord", 0.8)],
)
def test_each_learns(name, least, done):
  accuracy = re.findall(r"'accuracy': ([\d.]+)", done[1][name])[-1]
  assert float(accuracy) >= least


def test_the_autoencoder_leaves_a_decoder(done):
  folder, found = done
  assert "'divergence': " in found["custom_step"]
  train = event_reader.scalars(folder / "vae")["train"]
  assert len(train["error"][0]) == len(train["divergence"][0]) == 2
  decoder = keras.models.load_model(folder / "vae" / "decoder.keras")
  assert decoder.predict(np.zeros((3, 2)), verbose=0).shape == (3, 64)


def test_a_pole_stands_after_two_epochs(done):
  line = done[1]["actor_critic"].splitlines()[-1]
  moves = re.fullmatch(r"the pole stands for ([\d.]+) of 200 moves", line)
  assert float(moves[1]) > 150  # chance has about 20


@pytest.mark.parametrize("kind", ["dcgan", "wgan"])
def test_two_optimizers_have_rates_and_losses_each(kind, done):
  train = event_reader.scalars(done[0] / kind)["train"]
  for name in ("generator", "critic"):
    assert len(train[f"loss/{name}"][1]) == 56, name
    assert len(train[name][1]) == 1
  assert set(train["hyperparameters/learning_rate/critic"][1]) == {
    np.float32(1e-3)
  }
  generator = keras.models.load_model(done[0] / kind / "generator.keras")
  assert generator.predict(np.zeros((2, 16)), verbose=0).shape == (2, 8, 8, 1)
  assert (done[0] / kind / "samples.png").stat().st_size > 1000


def test_a_head_is_tuned_alone_then_with_the_body_of_another_run(done):
  before, tuned = (
    event_reader.scalars(done[0] / "tuning" / name)["train"]
    for name in ("before", "tuned")
  )
  steps, rates = tuned["hyperparameters/learning_rate"]
  assert list(steps) == list(range(2 + 4))  # 50 images, 25 an update
  prefix = "hyperparameters/learning_rate/"
  groups = {n.removeprefix(prefix) for n in tuned if n.startswith(prefix)}
  first = "Conv1/.*|bn_Conv1/.*|expanded_conv_.*"
  assert groups == {first, "block_1_.*", "head/.*"}
  np.testing.assert_allclose(tuned[prefix + first][1], rates / 10, rtol=1e-6)
  assert not any(name.startswith(prefix) for name in before)
  line = done[1]["fine_tune"].splitlines()[-1]
  assert line.startswith("50 labels, held-out images: {'loss': ")


def test_each_writes_its_run(done):
  runs = ("vae", "tuning/tuned", "images", "table", "text", "records", "pole")
  for name in (*runs, "dcgan", "wgan"):
    found = event_reader.scalars(done[0] / name)
    assert found["train"]["loss"][1].size, name
  model = keras.models.load_model(done[0] / "table" / "model.keras")
  up, down = model.predict(np.array([[2.0, 0, 0], [-2.0, 0, 0]]), verbose=0)
  assert up > 0.5 > down  # words in alphabetical order: down is 0


@pytest.mark.parametrize("name", NAMES)
def test_help_needs_no_tensorflow_and_the_example_is_short(name, tmp_path):
  path = FOLDER / f"{name}.py"
  ended = subprocess.run(
    [sys.executable, "-X", "importtime", str(path), "--help"],
    cwd=tmp_path,
    capture_output=True,
    text=True,
    timeout=60,
    check=False,
  )
  assert ended.returncode == 0
  assert " tensorflow" not in ended.stderr
  for flag in ("peak_lr", "workdir", "early_stopping", "mixed_precision"):
    assert f"--{flag}:" in ended.stdout or f"--[no]{flag}:" in ended.stdout
  text = path.read_text()
  assert len(text.splitlines()) <= 200
  assert "python scripts/examples/" in ast.get_docstring(ast.parse(text))


def refusal(name, flag, folder):
  """The one line by which an example refuses a flag."""
  ended = subprocess.run(
    [sys.executable, str(FOLDER / f"{name}.py"), flag],
    cwd=folder,
    capture_output=True,
    text=True,
    timeout=60,
    check=False,
  )
  assert ended.returncode == 2
  (line,) = ended.stderr.splitlines()
  return line


def test_a_file_that_is_not_there_is_one_line(tmp_path):
  line = refusal("tfrecord", "--data_path=none.tfrecord", tmp_path)
  assert line == "error: --data_path=none.tfrecord names no file"


def test_a_flag_without_effect_is_one_line(tmp_path):
  line = refusal("fine_tune", "--schedule=cosine", tmp_path)
  assert line.startswith("error: --schedule has no effect")


def folders_of(path):
  """The folders of scripts/ out of which a file imports anything."""
  names = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.ImportFrom):
      names.add(node.module)
    elif isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
  tops = {name.partition(".")[0] for name in names}
  return {top for top in tops if (FOLDER.parent / top).exists()}


def test_what_a_copy_takes_along():
  for path in FOLDER.parent.glob("cli/*.py"):
    assert folders_of(path) <= {"cli"}, path
  needs = {name: folders_of(FOLDER / f"{name}.py") for name in NAMES}
  alone = {"actor_critic", "custom_step", "fine_tune", "gan", "tfrecord"}
  assert needs == {
    name: {"cli"} if name in alone else {"cli", "training"} for name in NAMES
  }


@pytest.mark.parametrize("beside", [True, False])
def test_a_copy_with_cli_alone_runs(beside, tmp_path):
  shutil.copytree(FOLDER.parent / "cli", tmp_path / "cli")
  place = tmp_path if beside else tmp_path / "mine"
  place.mkdir(exist_ok=True)
  name, flags = ("tfrecord", ["--help"])
  if beside:
    name = "custom_step"
    flags = ["--epochs=1", "--compile=graph", "--workdir=run"]
  shutil.copy(FOLDER / f"{name}.py", place)
  ended = subprocess.run(
    [sys.executable, str(place / f"{name}.py"), *flags],
    cwd=tmp_path,
    capture_output=True,
    text=True,
    timeout=240,
    check=False,
  )
  assert ended.returncode == 0, ended.stderr[-2000:]
  if beside:
    assert "wrote run/decoder.keras" in ended.stdout
  else:
    assert "--held_out:" in ended.stdout


@pytest.mark.long
@pytest.mark.parametrize(
  ("name", "file", "least"),
  [
    ("images", "mnist.npz", 0.985),
    ("text", "imdb.npz", 0.85),
    ("tabular", "ionosphere.csv", 0.85),
  ],
)
def test_real_data_with_the_defaults(name, file, least, tmp_path, data_file):
  ended = subprocess.run(
    [sys.executable, str(FOLDER / f"{name}.py"), "--workdir=run",
     f"--data_path={data_file(file)}"],
    cwd=tmp_path,
    capture_output=True,
    text=True,
    timeout=400,
    check=False,
  )  # fmt: skip
  assert ended.returncode == 0, ended.stderr[-2000:]
  accuracy = re.findall(r"'accuracy': ([\d.]+)", ended.stdout)[-1]
  assert float(accuracy) >= least
