"""What is exported, and that imports point one way."""

import ast
import pathlib
import subprocess
import sys

import pytest

import kernels
import trainloop

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Inside trainloop a module may import only modules of lower layers.
LAYERS = [
  {
    "agreement",
    "average",
    "basis",
    "bias_correction",
    "bounds",
    "checkpoint_files",
    "claims",
    "code_identity",
    "cluster",
    "cluster_secret",
    "compilation",
    "counting",
    "criteria",
    "curve_check",
    "custom_gradients",
    "directions",
    "data_errors",
    "dataset_graph",
    "durations",
    "event_reader",
    "events",
    "extents",
    "figures",
    "fit_plan",
    "profiles",
    "summaries",
    "speed",
    "guards",
    "handshake",
    "iterators",
    "keras_callbacks",
    "kept",
    "layer_states",
    "links",
    "logged",
    "loss_scale",
    "model_metrics",
    "norms",
    "numerics",
    "optimizer_config",
    "outline",
    "output",
    "pace",
    "plots",
    "progress",
    "randomness",
    "run_files",
    "run_names",
    "sample_weights",
    "seeds",
    "shuffle",
    "signals",
    "snapshot",
    "stand_ins",
    "strict_json",
    "structures",
    "suggestions",
    "summary",
    "tensorboard",
    "tfrecords",
    "turns",
    "wall_clock",
  },
  {"data_identity", "description", "gathering"},
  {"model_identity"},
  {"lookups", "targets"},
  {"lookout"},
  {"cautions"},
  {"ranges"},
  {"rendezvous"},
  {"peers"},
  {"entry"},
  {"staging"},
  {"stream"},
  {"dataset_data", "sharded"},
  {"array_data", "distribution", "hyperparameters", "judge", "recipes"},
  {
    "data",
    "engine",
    "make",
    "moving",
    "per_replica",
    "probe",
    "reductions",
    "objective",
    "state",
    "step",
    "workers",
  },
  {"feed", "micro_batches"},
  {"evaluation", "sweep_output", "update", "window"},
  {"engines", "hparams", "histograms"},
  {"extras", "options"},
  {
    "accord",
    "actions",
    "event_writer",
    "batch_errors",
    "first_call",
    "history",
    "journal",
    "preflight",
    "row_events",
    "watch",
  },
  {"event_mending", "mending"},
  {"checkpoints", "dry_run"},
  {"parts", "panel"},
  {"notes"},
  {"records"},
  {"fingerprint", "fit", "planning", "shared_records"},
  {"measure", "running"},
  {"fits"},
  {"loop"},
  {"sweep"},
]


def imports(path):
  """Dotted names of all that a file imports."""
  found = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      found |= {f"{node.module}.{alias.name}" for alias in node.names}
      found.add(node.module)
  return found


def files(folder):
  return sorted((ROOT / folder).glob("*.py"))


@pytest.mark.parametrize("path", files("kernels"), ids=lambda p: p.stem)
def test_kernels_import_little(path):
  top = {name.partition(".")[0] for name in imports(path)}
  allowed = set(sys.stdlib_module_names) | {"kernels", "numpy", "tensorflow"}
  if path.stem == "interop":
    allowed.add("keras")
  assert top <= allowed


@pytest.mark.parametrize("path", files("trainloop"), ids=lambda p: p.stem)
def test_trainloop_imports_point_down(path):
  names = imports(path)
  top = {name.partition(".")[0] for name in names}
  assert not top & {"scripts", "absl", "tests"}
  if path.stem == "__init__":
    return
  level = {name: i for i, layer in enumerate(LAYERS) for name in layer}
  assert path.stem in level, f"give {path.stem} a layer"
  parts = [n.split(".") for n in names if n.startswith("trainloop.")]
  for used in {part[1] for part in parts}:
    if used != path.stem:
      assert level[used] <= level[path.stem], f"{path.stem} imports {used}"


@pytest.mark.parametrize("module", [kernels, trainloop])
def test_all_is_what_is_there(module):
  assert sorted(module.__all__) == list(module.__all__)
  for name in module.__all__:
    assert getattr(module, name).__doc__, name


@pytest.mark.parametrize("folder", ["kernels", "trainloop", "scripts"])
def test_files_are_small_and_say_what_they_do(folder):
  for path in files(folder):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), path
    assert len(path.read_text().splitlines()) <= 320, path


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
