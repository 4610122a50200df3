"""initial_weights: by name, of a model, a file, or another run."""

import re
import shutil
import zipfile

import keras
import numpy as np
import pytest

import trainloop
from support import small
from trainloop.model import variable_names

OTHER = 7  # seed of weights that `small.model()` has not


def fit(workdir=None, **options):
  loop = small.loop(
    small.model(rich=True), workdir=workdir, **options, compile="graph"
  )
  return loop, loop.fit(small.data(), 1)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
  """{kind: what to begin with}, and the weights that all of them hold."""
  folder = tmp_path_factory.mktemp("weights")
  loop, _ = fit(folder / "run")
  loop.model.save(folder / "it.keras")
  loop.model.save_weights(folder / "it.weights.h5")
  kinds = {
    "model": loop.model,
    "keras": folder / "it.keras",
    "h5": folder / "it.weights.h5",
    "workdir": folder / "run",
  }
  return kinds, loop.model.get_weights()


@pytest.mark.parametrize("kind", ["model", "keras", "h5", "workdir"])
def test_a_loop_begins_with_them(source, kind):
  kinds, want = source
  loop = small.loop(
    small.model(rich=True, seed=OTHER),
    initial_weights=kinds[kind],
    compile="graph",
  )
  loop.evaluate(small.data())
  for mine, theirs in zip(loop.model.get_weights(), want, strict=True):
    assert mine.tobytes() == theirs.tobytes()


def test_an_optimizer_in_the_file_is_left_there(tmp_path):
  net = small.model(seed=OTHER)
  net.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
  net.fit(*small.arrays(), batch_size=8, verbose=0)
  net.save_weights(tmp_path / "it.weights.h5")
  loop = small.loop(
    optimizer=keras.optimizers.SGD(0.125),
    initial_weights=tmp_path / "it.weights.h5",
    compile="graph",
  )
  history = loop.fit(small.data(), 1)
  assert (history.rows["learning_rate"] == 0.125).all()
  assert int(loop.optimizer.iterations.numpy()) == 12


def test_a_run_that_goes_on_keeps_its_own(source, tmp_path):
  kinds, _ = source
  _, history = fit(tmp_path / "a", initial_weights=kinds["keras"])
  loop, again = fit(tmp_path / "a", initial_weights=kinds["keras"])
  assert again.restored
  assert again.rows["loss"].tobytes() == history.rows["loss"].tobytes()
  with pytest.raises(ValueError, match="initial_weights"):
    fit(tmp_path / "a")
  assert loop.global_step == 12


def test_a_refusal_names_both_files(source, tmp_path):
  kinds, _ = source
  other = tmp_path / "other.keras"
  small.model(rich=True, seed=OTHER).save(other)
  fit(tmp_path / "a", initial_weights=kinds["keras"])
  with pytest.raises(ValueError, match="`initial_weights` must be") as error:
    fit(tmp_path / "a", initial_weights=other)
  crc32 = "[0-9a-f]{8}"
  told = rf"'{crc32} of {kinds['keras']}', as in the run .* got '{crc32} of "
  assert re.search(told + str(other), str(error.value))
  moved = tmp_path / "moved.keras"
  shutil.copy(kinds["keras"], moved)
  _, again = fit(tmp_path / "a", initial_weights=moved)
  assert again.restored


def names_of(net):
  """Names in a checkpoint of what `get_weights` gives, in its order."""
  every = zip(net.variables, variable_names.of_weights(net), strict=True)
  names = {id(v): name for v, name in every}
  return [names[id(v)] for v in net.weights]


@pytest.mark.parametrize("kind", ["model", "keras", "workdir"])
def test_a_part_of_them_leaves_the_others_as_they_were_made(source, kind):
  kinds, _ = source
  made = small.model(classes=4, rich=True, seed=OTHER)
  before = {v.path: v.numpy().tobytes() for v in made.variables}
  part = trainloop.InitialWeights(kinds[kind], only=r"(?!dense_1/).*")
  loop = small.loop(made, initial_weights=part, compile="graph")
  loop.evaluate(small.data())
  want = dict(zip(names_of(kinds["model"]), source[1], strict=True))
  pairs = zip(names_of(made), made.weights, strict=True)
  heads = {n: v for n, v in pairs if n.startswith("dense_1/")}
  for name, variable in zip(names_of(made), made.weights, strict=True):
    theirs = before[variable.path] if name in heads else want[name].tobytes()
    assert variable.numpy().tobytes() == theirs, name
  assert len(heads) == 2


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
@pytest.mark.parametrize("part", ["junk", "half", "nothing"])
def test_what_is_no_file_of_weights_is_one_line(ending, part, tmp_path):
  path = tmp_path / f"it{ending}"
  net = small.model(rich=True)
  net.save(path) if ending == ".keras" else net.save_weights(path)
  content = path.read_bytes()
  parts = {"junk": b"junk", "half": content[:9000], "nothing": b""}
  path.write_bytes(parts[part])
  with pytest.raises(ValueError) as error:
    fit(tmp_path / "run", initial_weights=path)
  text = str(error.value)
  assert "`initial_weights` must be a file that can be read as weights" in text
  assert str(path) in text and "\n" not in text
  assert not (tmp_path / "run").exists()


def test_an_archive_of_something_else_is_one_line(tmp_path):
  path = tmp_path / "it.keras"
  with zipfile.ZipFile(path, "w") as file:
    file.writestr("readme", "no weights")
  with pytest.raises(ValueError, match="that can be read as weights") as error:
    fit(tmp_path / "run", initial_weights=path)
  assert "\n" not in str(error.value)


BAD = {
  "a part of no names": (
    lambda path: trainloop.InitialWeights(small.model(), only="nothing"),
    "`only` must be a pattern of weights, as dense/kernel",
  ),
  "nothing there": (lambda path: path / "no.keras", "which is there"),
  "a number": (lambda path: 3, "a keras.Model, a .keras"),
  "a folder without a run": (lambda path: path, "with a checkpoint"),
  "another shape": (
    lambda path: small.model(classes=4, rich=True),
    "weights of this model (dense_1/kernel is (6, 4) and not (6, 3))",
  ),
  "one is missing": (
    lambda path: small.model(),
    "weights of this model (batch_normalization/gamma is missing)",
  ),
}


@pytest.mark.parametrize("name", BAD)
def test_others_are_refused_in_a_line(name, tmp_path):
  make, text = BAD[name]
  with pytest.raises(ValueError) as error:
    fit(tmp_path / "run", initial_weights=make(tmp_path))
  assert text in str(error.value) and "\n" not in str(error.value)
  assert not (tmp_path / "run").exists()


def test_one_that_is_left_over_is_named():
  loop = small.loop(
    small.model(), initial_weights=small.model(rich=True), compile="graph"
  )
  with pytest.raises(ValueError, match="batch_normalization/gamma is in no"):
    loop.fit(small.data(), 1)


def test_weights_of_another_file_are_refused_in_a_line(tmp_path):
  net = keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(5)])
  net.save_weights(tmp_path / "other.weights.h5")
  loop = small.loop(
    initial_weights=tmp_path / "other.weights.h5", compile="graph"
  )
  with pytest.raises(ValueError, match="no such shapes are in it") as error:
    loop.fit(small.data(), 1)
  assert "\n" not in str(error.value)


def test_weights_that_are_nan_are_refused_before_the_first_update(tmp_path):
  net = small.model()
  weights = net.get_weights()
  weights[1][0] = np.nan
  net.set_weights(weights)
  loop = small.loop(initial_weights=net, workdir=tmp_path / "run")
  with pytest.raises(ValueError, match="bias is NaN in it"):
    loop.fit(small.data(), 1)
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
  ("given", "text"),
  [
    ({"source": 3}, "a keras.Model, a .keras"),
    ({"source": "no.keras"}, "which is there"),
    ({"source": small.model, "only": "("}, "`only` must be a regular"),
    ({"source": "it.weights.h5", "only": ".*"}, "`only` must be None with a"),
  ],
)
def test_a_bad_part_is_refused_in_a_line(given, text):
  with pytest.raises(ValueError) as error:
    trainloop.InitialWeights(**given)
  assert text in str(error.value) and "\n" not in str(error.value)
