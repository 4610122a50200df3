"""train.py as its users run it."""

import csv
import hashlib
import io
import json
import zipfile

import keras
import numpy as np
import pytest

from support import commands, workdirs

FAST = ("--epochs=3", "--batch_size=64", "--hidden=16")


@pytest.fixture(scope="module")
def first(tmp_path_factory):
  folder = tmp_path_factory.mktemp("first")
  # --export says nothing of the run: a command that goes on may leave it out.
  flags = ("--workdir=runs/first", "--export=both")
  done = commands.train(*flags, cwd=folder)
  assert done.returncode == 0, done.stderr[-2000:]
  return folder, done


def test_the_main_job_learns_digits(first):
  folder, done = first
  workdir = folder / "runs" / "first"
  result = json.loads((workdir / "result.json").read_text())
  assert result["metrics"]["accuracy"] >= 0.97
  assert result["seconds"] > 0
  assert result["stop_reason"] == "completed"
  assert result["steps"] == 20 * (1438 // 32) == result["epochs"] * 44
  assert result["resumed_from"] == [] and result["best"] == {}
  assert set(result) == {
    "stop_reason",
    "steps",
    "epochs",
    "metrics",
    "best",
    "weights_sha256",
    "resumed_from",
    "seconds",
    "steps_per_second",
  }
  model = keras.models.load_model(workdir / "model.keras")
  digest = hashlib.sha256()
  for weight in model.get_weights():
    digest.update(weight.tobytes())
  assert digest.hexdigest() == result["weights_sha256"]
  assert (workdir / "saved_model" / "saved_model.pb").is_file()
  # Piped: a line an epoch plus start and end.
  assert 20 <= len(done.stdout.splitlines()) <= 20 + 18


def test_the_same_command_again_changes_nothing(first):
  folder, _ = first
  before = workdirs.files(folder)
  done = commands.forked("--workdir=runs/first", cwd=folder)
  assert done.returncode == 0 and "nothing to do" in done.stdout
  assert workdirs.files(folder) == before


def test_another_command_there_is_refused(first):
  folder, _ = first
  before = workdirs.files(folder)
  done = commands.forked("--workdir=runs/first", "--peak_lr=0.2", cwd=folder)
  assert done.returncode == 2
  (line,) = commands.error_lines(done)
  assert "`schedule.peak_lr` must be" in line and "0.2" in line
  assert workdirs.files(folder) == before


BAD_FLAGS = [
  (["--peak_lr=nan"], "peak_lr=nan"),
  (["--peak_lr=inf"], "peak_lr=inf"),
  (["--peak_lr=-1"], "peak_lr=-1"),
  (["--peak_lr=high"], "peak_lr=high"),
  (["--optimizer=sgdd"], "optimizer"),
  (["--momentum=1.5"], "momentum=1.5"),
  (["--momentum=nan"], "momentum=nan"),
  (["--optimizer=adam", "--momentum=0.5"], "--momentum has no effect"),
  (["--optimizer=adam", "--nonesterov"], "--nesterov has no effect"),
  (["--bias_correction=exact"], "--bias_correction=exact has no effect"),
  (["--schedule=linear", "--boundaries=5ep"], "--boundaries has no effect"),
  (["--schedule=join", "--parts=cosine"], "--parts must name one"),
  (["--schedule=join", "--parts=join,cosine"], "parts=join,cosine"),
  (["--schedule=piecewise_constant", "--values=1"], "--values must have one"),
  (["--schedule=piecewise_constant", "--boundaries=5"], "boundaries=5"),
  (["--schedule=warmup_stable_decay", "--decay=log"], "decay=log"),
  (["--schedule=polynomial", "--power=0"], "power=0"),
  (["--initial_lr=0.1"], "--initial_lr needs --warmup"),
  (["--scale=0"], "scale=0"),
  (["--momentum_range=0.9"], "momentum_range=0.9"),
  (["--momentum_range=0.9,1"], "momentum_range=0.9,1"),
  (["--momentum_range=0.9,nan"], "momentum_range"),
  (["--schedule=saw"], "schedule=saw"),
  (["--preset=keras"], "preset=keras"),
  (["--schedule=constant", "--preset=torch"], "--preset has no effect"),
  (["--cycle_mult=2"], "--cycle_mult has no effect"),
  (["--schedule=cosine_restarts", "--cycle_mult=0"], "cycle_mult"),
  (["--schedule=cosine_restarts", "--cycle_mult=-2"], "cycle_mult"),
  (["--schedule=cosine_restarts", "--peak_decay=0"], "peak_decay"),
  (["--schedule=triangular", "--cycle_len=3"], "cycle_len=3"),
  (["--schedule=triangular", "--cycle_len=-1ep"], "cycle_len=-1ep"),
  (["--schedule=warmup_cosine", "--warmup=ten%"], "warmup=ten%"),
  (["--epochs=0"], "epochs=0"),
  (["--epochs=1.5"], "epochs=1.5"),
  (["--batch_size=-1"], "batch_size=-1"),
  (["--hidden=0"], "hidden=0"),
  (["--hidden=a"], "hidden=a"),
  (["--filters=32"], "--filters has no effect with --model=mlp"),
  (["--dropout=1"], "dropout=1"),
  (["--dataset=cifar"], "dataset=cifar"),
  (["--dataset=csv"], "needs --data_path"),
  (["--dataset=mnist", "--data_path=no.npz"], "no.npz is not a file"),
  (["--data_path=x"], "--data_path has no effect"),
  (["--model=transformer"], "--model must be one of mlp"),
  (["--validation_fraction=0"], "validation_fraction=0"),
  (["--steps_per_loop=0"], "steps_per_loop=0"),
  (["--steps_per_loop=some"], "steps_per_loop=some"),
  (["--compile=fast"], "compile=fast"),
  (["--strategy=both"], "strategy=both"),
  (
    ["--strategy=mirrored", "--cluster_secret_file=secret"],
    "--cluster_secret_file has no effect with --strategy=mirrored",
  ),
  (["--average=ema:1"], "average=ema:1"),
  (["--average=swa"], "average=swa"),
  (["--average=schedule_free:1"], "average=schedule_free:1"),
  (["--average=schedule_free", "--optimizer=rmsprop"], "sgd, adam, adamw"),
  (["--average="], "average="),
  (["--class_weight=even"], "class_weight=even: must be balanced, or"),
  (["--class_weight=0:1,1"], "class_weight=0:1,1"),
  (["--early_stopping=-1"], "early_stopping=-1"),
  (["--reduce_on_plateau=0"], "reduce_on_plateau=0"),
  (["--monitor=val_loss"], "--monitor needs"),
  (["--monitor_mode=max"], "--monitor_mode needs"),
  (["--target=0.9"], "--target needs --early_stopping"),
  (["--baseline=0.5"], "--baseline needs --early_stopping"),
  (["--start_from_epoch=2", "--reduce_on_plateau=2"], "--start_from_epoch ne"),
  (["--min_delta_mode=relative"], "--min_delta_mode needs"),
  (
    ["--min_delta_mode=relative", "--min_delta=1", "--early_stopping=2"],
    "min_delta",
  ),
  (["--divergence=nan", "--early_stopping=2"], "divergence=nan"),
  (["--restore=all", "--reduce_on_plateau=2"], "--restore needs"),
  (["--plateau_factor=1", "--reduce_on_plateau=2"], "plateau_factor=1"),
  (["--restore_best_first", "--early_stopping=2"], "--restore_best_first ne"),
  (["--schedule=sgdr", "--drop=0.5"], "--drop has no effect"),
  (["--schedule=function"], "--function must be package.module:name"),
  (["--schedule=time_based", "--per=hour"], "per=hour"),
  (["--checkpoint_every=2"], "checkpoint_every=2"),
  (["--validate_every=x"], "validate_every=x"),
  (["--log_every=0"], "log_every=0"),
  (["--seed=-1"], "seed=-1"),
  (["--workdir="], "--workdir must be a folder's path"),
  (["--max_length=9"], "--max_length has no effect"),
  (["--model=a.b:c", "--hidden=9"], "--hidden has no effect"),
  (["--batch_size=1e3"], "must be an integer; got '1e3'"),
  (["--accumulate=3"], "--batch_size must be a multiple of --accumulate=3"),
  (["--mixed_precision=half"], "--mixed_precision"),
  (["--lr=1"], "there is no flag --lr: write --peak_lr="),
  (["--epochs=1000000000"], "epochs=1000000000"),
  (["extra"], "unexpected argument 'extra'"),
  (["--keep=0"], "keep=0"),
  (["--grace=0"], "grace=0"),
  (["--grace=inf"], "grace=inf"),
  (["--on_nonfinite=hope"], "on_nonfinite"),
  (["--rewind_limit=2"], "--rewind_limit has no effect"),
  (["--on_nonfinite=rewind", "--rewind_factor=2"], "rewind_factor=2"),
  (["--on_nonfinite=rewind", "--rewind_limit=0"], "rewind_limit=0"),
  (["--overwrite"], "--overwrite needs --fresh"),
  (["--fresh", "--replan"], "--replan goes on with a run"),
]


@pytest.mark.parametrize(
  ("flags", "names"), BAD_FLAGS, ids=[" ".join(c[0]) for c in BAD_FLAGS]
)
def test_bad_flags_are_refused_before_tensorflow(tmp_path, flags, names):
  done = commands.train(
    "--workdir=run", *flags, cwd=tmp_path, options=["-X", "importtime"]
  )
  assert done.returncode == 2, done.stderr
  assert " tensorflow" not in done.stderr
  (line,) = [
    line
    for line in done.stderr.splitlines()
    if not line.startswith("import time:")
  ]
  assert line.startswith("error: ") and names in line
  assert list(tmp_path.iterdir()) == []


BAD_RUNS = [
  (["--batch_size=5000"], "`batch_size` must be at most 1438"),
  (["--early_stopping=2", "--monitor=val_acc"], "`monitor` must be one of"),
  (["--early_stopping=2", "--validate_every=99ep"], "`validate_every` must be"),
  (["--momentum=0.5"], "--momentum has no effect"),
  (["--model=own:broken"], "cannot be made (ZeroDivisionError"),
  (["--model=own:nothing"], "gave a NoneType, no keras.Model"),
  (
    ["--mixed_precision=float16", "--model=own:single"],
    "`model` must be of layers of the policy 'mixed_float16'",
  ),
  (["--model=missing.module:make"], "cannot be made (ModuleNotFoundError"),
  (["--warmup=30ep"], "`warmup` must be no longer than the schedule"),
  (["--dataset=csv", "--data_path=empty.csv"], "has no rows"),
  (["--dataset=npz", "--data_path=pickle.npz"], "holds Python objects"),
  (["--dataset=npz", "--data_path=bomb.npz"], "8000000000000 bytes; it has 0"),
  (["--dataset=npz", "--data_path=cut.npz"], "is no plain .npz file"),
  (["--dataset=csv", "--data_path=bomb.npz"], "is no CSV in UTF-8"),
  (["--workdir=file/run"], "`workdir` must be writable"),
]


def bomb(path):
  """An .npz file of 10^12 numbers, as it says."""
  head = {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
  content = io.BytesIO()
  np.lib.format.write_array_header_1_0(content, head)
  with zipfile.ZipFile(path, "w") as file:
    file.writestr("x_train.npy", content.getvalue())
    file.writestr("y_train.npy", content.getvalue())


@pytest.mark.parametrize(
  ("flags", "names"), BAD_RUNS, ids=[c[0][-1] for c in BAD_RUNS]
)
def test_what_needs_the_data_is_refused_before_step_1(tmp_path, flags, names):
  (tmp_path / "file").write_text("")
  (tmp_path / "own.py").write_text(
    "def broken(shape, outputs):\n  1 / 0\n"
    "def nothing(shape, outputs):\n  pass\n"
    "def single(shape, outputs):\n"
    "  import keras\n"
    "  return keras.Sequential([keras.layers.Dense(2, dtype='float32')])\n"
  )
  (tmp_path / "empty.csv").write_text("")
  objects = np.array([{"a": 1}] * 4, object)
  np.savez(tmp_path / "pickle.npz", x_train=objects, y_train=objects)
  bomb(tmp_path / "bomb.npz")
  content = (tmp_path / "pickle.npz").read_bytes()
  (tmp_path / "cut.npz").write_bytes(content[: len(content) // 2])
  before = workdirs.files(tmp_path)
  done = commands.forked("--workdir=run", *flags, cwd=tmp_path)
  assert done.returncode == 2, done.stderr[-2000:]
  (line,) = commands.error_lines(done)
  assert names in line and "Traceback" not in done.stderr
  after = workdirs.files(tmp_path)
  assert {k: v for k, v in after.items() if "__pycache__" not in k} == before


def test_files_of_others_are_refused_before_step_1(tmp_path):
  (tmp_path / "run").mkdir()
  (tmp_path / "run" / "result.json").write_text("mine")
  done = commands.forked("--epochs=1", "--workdir=run", cwd=tmp_path)
  (line,) = commands.error_lines(done)
  assert done.returncode == 2 and "another program's files (result.js" in line
  (tmp_path / "run" / "result.json").rename(tmp_path / "run" / "notes.txt")
  flags = ("--epochs=1", "--workdir=run", "--fresh", "--overwrite")
  done = commands.forked(*flags, cwd=tmp_path)
  (line,) = commands.error_lines(done)
  assert done.returncode == 2 and "it holds notes.txt (" in line
  assert "begin beside it without --fresh --overwrite" in line
  (path,) = tmp_path.rglob("*.*")
  assert path.read_text() == "mine"


def test_what_a_users_model_raises_is_one_line(tmp_path):
  (tmp_path / "own.py").write_text(
    "import keras\n"
    "class Late(keras.Model):\n"
    "  def __init__(self, shape, outputs):\n"
    "    super().__init__()\n"
    "  def call(self, x):\n"
    "    raise ValueError('mine')\n"
  )
  done = commands.forked("--model=own:Late", "--workdir=run", cwd=tmp_path)
  assert done.returncode == 1, done.stderr[-2000:]
  (line,) = commands.error_lines(done)
  place = f"(line 6 of {tmp_path / 'own.py'})"
  assert line == f"error: ValueError: mine {place}"
  assert "Traceback" not in done.stderr and not (tmp_path / "run").exists()


def test_a_model_that_can_not_be_described_keeps_its_weights(tmp_path):
  (tmp_path / "own.py").write_text(
    "import keras\n"
    "class Own(keras.Model):\n"
    "  def __init__(self, shape, outputs):\n"
    "    super().__init__()\n"
    "    self.last = keras.layers.Dense(outputs, activation='softmax')\n"
    "  def call(self, x):\n"
    "    return self.last(x)\n"
  )
  done = commands.forked(
    "--model=own:Own", "--epochs=2", "--workdir=run", cwd=tmp_path
  )
  assert done.returncode == 0, done.stderr[-2000:]
  names = {path.name for path in (tmp_path / "run").iterdir()}
  assert "result.json" in names
  assert names & {"model.keras", "model.weights.h5"}
  assert not any(name.startswith(".part") for name in names)


def test_a_run_that_diverges_says_so_in_a_line(tmp_path):
  done = commands.train("--peak_lr=1e30", "--workdir=run", cwd=tmp_path)
  assert done.returncode == 1
  (line,) = done.stderr.splitlines()
  assert line.startswith("error: update ") and "is not finite" in line
  assert line.endswith("lower --peak_lr (it is 1e+30)")


def test_a_dry_run_says_every_duration_in_steps(tmp_path):
  done = commands.forked(
    "--dry_run",
    "--schedule=cosine_restarts",
    "--cycle_len=2.5ep",
    "--warmup=5%",
    "--validate_every=10%",
    cwd=tmp_path,
  )
  assert done.returncode == 0
  assert "20 epochs of 44 steps: 880" in done.stdout
  for line in (
    "cycle_len: 2.5ep = 110 steps",
    "warmup: 5% = 44 steps",
    "validate_every: 10% = 88 steps",
    "checkpoint_every: 1ep = 44 steps",
  ):
    assert line in done.stdout.splitlines()
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
  ("flag", "told"),
  [
    ("--model=nowhere.mod:make", "(ModuleNotFoundError: No module named"),
    ("--validate_every=200%", "`validate_every` must be at most the run's 880"),
    ("--profile=1:999999", "--profile must be within the run's 880 steps"),
  ],
)
def test_a_dry_run_refuses_what_the_run_would(flag, told, tmp_path):
  done = commands.forked("--dry_run", flag, "--workdir=run", cwd=tmp_path)
  assert done.returncode == 2 and told in done.stderr
  assert list(tmp_path.iterdir()) == []


def test_a_dry_run_writes_the_plan_that_the_run_replaces(tmp_path):
  group = "--group=.*bias:lr=0.5,wd=0"
  flags = ("--workdir=run", "--epochs=2", "--hidden=8", "--optimizer=adamw")
  flags += (group, "--weight_decay_schedule=linear:0.1:0.2")
  done = commands.forked("--dry_run", *flags, cwd=tmp_path)
  assert done.returncode == 0, done.stderr
  shown = [line.split("  ") for line in done.stdout.splitlines()]
  shown = {line[0]: [one.strip() for one in line if one] for line in shown}
  head = ["plan", "first: step 0", "peak: step 26", "last: step 87"]
  assert shown["plan"] == head
  name = "learning_rate/.*bias"
  assert shown[name] == [name, "6e-05", "0.0015", "6e-09"]
  assert shown["weight_decay/.*bias"][1:] == ["0", "0", "0"]
  assert shown["weight_decay"][1:] == ["0.1", "0.1295", "0.1989"]
  (path,) = (p for p in tmp_path.rglob("*") if p.is_file())
  assert path.parent == tmp_path / "run" / "plan"
  dry = workdirs.scalars(path.parent)
  done = commands.forked(*flags, cwd=tmp_path)
  assert done.returncode == 0, done.stderr
  assert not path.exists()
  plan = workdirs.scalars(path.parent)
  assert plan["hyperparameters/momentum"][0] == list(range(88))
  assert "hyperparameters/learning_rate/.*bias" in plan
  assert set(plan) == set(dry)
  for tag, (steps, values) in plan.items():
    assert steps == dry[tag][0]
    assert values.tobytes() == dry[tag][1].tobytes()


def test_help_names_every_flag_without_tensorflow(tmp_path):
  done = commands.train("--help", cwd=tmp_path, options=["-X", "importtime"])
  assert done.returncode == 0
  assert " tensorflow" not in done.stderr
  for name in ("peak_lr", "cycle_mult", "workdir", "steps_per_loop", "seed"):
    assert f"--{name}:" in done.stdout


def test_a_model_and_a_csv_of_ones_own(tmp_path):
  rng = np.random.default_rng(0)
  rows = [[*rng.normal(size=3).round(3), "ab"[i % 2]] for i in range(80)]
  with open(tmp_path / "mine.csv", "w", newline="") as file:
    csv.writer(file).writerows([["p", "q", "r", "kind"], *rows])
  (tmp_path / "mine.py").write_text(
    "import keras\n"
    "def make(input_shape, outputs):\n"
    "  layers = [keras.layers.Input(input_shape),\n"
    "            keras.layers.Dense(outputs, activation='sigmoid')]\n"
    "  return keras.Sequential(layers)\n"
  )
  done = commands.forked(
    *FAST[:1],
    "--dataset=csv",
    "--data_path=mine.csv",
    "--model=mine:make",
    "--batch_size=8",
    "--workdir=run",
    cwd=tmp_path,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  model = keras.models.load_model(tmp_path / "run" / "model.keras")
  assert model.input_shape == (None, 3) and model.output_shape == (None, 1)


def test_a_regression_on_a_table_of_any_scale(tmp_path):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(300, 2)) * [1000, 0.01] + [5e4, 3]
  y = 4e5 + 40 * (x[:, 0] - 5e4) + 3e6 * (x[:, 1] - 3)
  np.savetxt(tmp_path / "mine.csv", np.c_[x, y.round(2)], delimiter=",")
  flags = ("--dataset=csv", "--data_path=mine.csv", "--workdir=run")
  done = commands.forked(*flags, "--batch_size=8", cwd=tmp_path)
  assert done.returncode == 0, done.stderr[-2000:]
  assert "targets   less " in done.stdout
  model = keras.models.load_model(tmp_path / "run" / "model.keras")
  found = model.predict(x.astype(np.float32), verbose=0)[:, 0]
  assert np.abs(found - y).mean() < 0.2 * y.std()  # in the table's own units


@pytest.mark.parametrize(
  "flags",
  [
    ("--optimizer=adam", "--schedule=cosine_restarts", "--cycle_mult=2"),
    ("--optimizer=rmsprop", "--schedule=triangular", "--cycle_len=20st"),
    ("--schedule=warmup_cosine", "--hold=1ep", "--reduce_on_plateau=1"),
    ("--optimizer=adagrad", "--schedule=constant", "--strategy=one_device"),
    ("--optimizer=adamw", "--bias_correction=exact", "--warmup=1ep"),
    ("--schedule=join", "--parts=linear,step_decay", "--boundaries=50%"),
    ("--mixed_precision=float16", "--accumulate=4"),
  ],
  ids=lambda flags: flags[-2],
)
def test_schedules_and_optimizers_run(tmp_path, flags):
  done = commands.forked(*FAST, *flags, cwd=tmp_path)
  assert done.returncode == 0, done.stderr[-2000:]
  assert list(tmp_path.iterdir()) == []


def test_ionosphere(tmp_path, data_file):
  done = commands.forked(
    "--dataset=ionosphere",
    f"--data_path={data_file('ionosphere.csv')}",
    "--workdir=run",
    cwd=tmp_path,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  result = json.loads((tmp_path / "run" / "result.json").read_text())
  assert result["metrics"]["accuracy"] >= 0.85


def test_imdb_reaches_what_was_published(tmp_path, data_file):
  done = commands.forked(
    "--dataset=imdb",
    f"--data_path={data_file('imdb.npz')}",
    "--model=embedding_bag",
    "--optimizer=adam",
    "--preset=ktrain",
    "--peak_lr=5e-3",
    "--batch_size=32",
    "--epochs=3",
    "--workdir=run",
    cwd=tmp_path,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  result = json.loads((tmp_path / "run" / "result.json").read_text())
  assert result["metrics"]["accuracy"] >= 0.875


def mnist(folder, path, epochs, floor):
  done = commands.train(
    "--dataset=mnist",
    f"--data_path={path}",
    "--model=cnn",
    "--schedule=one_cycle",
    f"--epochs={epochs}",
    "--workdir=run",
    cwd=folder,
    timeout=900,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  result = json.loads((folder / "run" / "result.json").read_text())
  assert result["metrics"]["accuracy"] >= floor


@pytest.mark.long
def test_mnist_in_three_epochs(tmp_path, data_file):
  mnist(tmp_path, data_file("mnist.npz"), 3, 0.988)


def test_mnist_in_one_epoch(tmp_path, data_file):
  mnist(tmp_path, data_file("mnist.npz"), 1, 0.975)
