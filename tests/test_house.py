"""The house stands: wings, circles, whose attributes are touched, lengths."""

import pathlib
import re

import pytest

from support import house, house_contents
from support.house_samples import CLEAN, PLANTED

ROOT = pathlib.Path(__file__).resolve().parent.parent
RULES = {
  "order": house.order,
  "circles": house.circles,
  "rooms": house.rooms,
  "private": house_contents.private,
  "foreign": house_contents.foreign,
  "lengths": house_contents.lengths,
  "members": house_contents.members,
  "docstrings": house_contents.docstrings,
}

# What is of another library and has no public way, or is its way: (rule, file)
# -> the reason, and the symbols. One that is no longer needed fails.
ALLOWED = {
  ("order", "scripts/examples/images.py"): (
    "reads files as train.py does: a copy takes along training/, too",
    {"training.datasets"},
  ),
  ("order", "scripts/examples/tabular.py"): (
    "reads files as train.py does: a copy takes along training/, too",
    {"training.datasets"},
  ),
  ("order", "scripts/examples/text.py"): (
    "reads files as train.py does: a copy takes along training/, too",
    {"training.datasets"},
  ),
  ("order", "kernels/interop.py"): ("to and from Keras", {"keras"}),
  ("foreign", "kernels/callables.py"): (
    "a traceback is cut, and an error marked, as Python lets one do",
    {"entry.tb_next", "error.__traceback__", "setattr(error)"},
  ),
  ("private", "trainloop/base/custom_gradients.py"): (
    "TensorFlow's registry of gradients has no public way out",
    {
      "tensorflow.python.framework.ops",
      "_ops.gradient_registry._registry",
      "graph._custom_gradients",
    },
  ),
  ("foreign", "trainloop/base/custom_gradients.py"): (
    "its graph holds its own gradients alive",
    {"graph._custom_gradients"},
  ),
  ("private", "trainloop/model/phases.py"): (
    "nothing public gives the layers of layers",
    {"model._flatten_layers"},
  ),
  ("foreign", "trainloop/model/phases.py"): (
    "Keras' own way to have a layer rest",
    {"layer.trainable"},
  ),
  ("foreign", "trainloop/compiled/statistics.py"): (
    "a layer's momentum is a number of Python's; put back when it is traced",
    {"vars(layer)['momentum']"},
  ),
  ("private", "trainloop/model/group_steps.py"): (
    "Keras has no public way to a rate and a decay of a variable's own",
    {
      "optimizer._apply_weight_decay",
      "optimizer._var_key",
      "self._optimizer._var_key",
    },
  ),
  ("private", "trainloop/model/schedule_free.py"): (
    "as group_steps, which calls what stands in here; and what decays",
    {"optimizer._var_key", "optimizer._use_weight_decay"},
  ),
  ("private", "trainloop/model/seen_ops.py"): (
    "nothing public tells the ops that run eagerly",
    {"tensorflow.python.framework.op_callbacks"},
  ),
  ("private", "trainloop/compiled/trace_numbers.py"): (
    "TensorFlow has no other way to name the parts of a function",
    {"tensorflow.python.framework.ops"},
  ),
  ("foreign", "trainloop/base/output.py"): (
    "sys.stdout and sys.stderr are there to be replaced",
    {"setattr(sys)"},
  ),
  ("private", "trainloop/base/seeds.py"): (
    "generators of the process can't be read publicly",
    {
      "keras.src.backend.common.global_state",
      "tensorflow.python.eager.context",
      "context._rng",
      "_tensorflow.context()._rng",
    },
  ),
  ("foreign", "trainloop/base/seeds.py"): (
    "and not be put back",
    {"context._seed", "context._rng"},
  ),
  ("foreign", "trainloop/base/stand_ins.py"): (
    "the one place where a function of another library is replaced",
    {"setattr(self._module)"},
  ),
  ("members", "trainloop/data/arrays.py"): (
    "a whole `protocol.Source`, with the arguments that users read",
    {"ArrayData"},
  ),
  ("members", "trainloop/data/dataset.py"): (
    "a whole `protocol.Source`",
    {"DatasetData"},
  ),
  ("foreign", "trainloop/data/feeds.py"): (
    "the options of a dataset are there to be set",
    {"options.experimental_optimization.inject_prefetch"},
  ),
  ("members", "trainloop/data/sharded.py"): (
    "a whole `protocol.Source`",
    {"ShardedData"},
  ),
  ("members", "trainloop/workdir/no_records.py"): (
    "all that a fit tells its records, so that it need not ask for a workdir",
    {"NoRecords"},
  ),
  ("members", "trainloop/workdir/records.py"): (
    "the same, with a workdir",
    {"Records"},
  ),
  ("private", "trainloop/data/staging.py"): (
    "the memory of a device",
    {"tensorflow.python.client.device_lib"},
  ),
  ("private", "trainloop/devices/peers.py"): (
    "collectives are aborted once there are any",
    {
      "tensorflow.python.eager.context",
      "context._collective_ops_server_def",
      "context._initialized",
    },
  ),
  ("foreign", "trainloop/devices/rendezvous.py"): (
    "threading.Timer takes no daemon",
    {"timer.daemon"},
  ),
  ("private", "trainloop/devices/strategies.py"): (
    "the coordination service is off",
    {"tensorflow.python.eager.context"},
  ),
  ("foreign", "trainloop/fit/keras_callbacks.py"): (
    "what callbacks of Keras read and set",
    {"model.stop_training"},
  ),
  ("private", "trainloop/judging/directions.py"): (
    "whether a metric of Keras is better up or down",
    {"metric._direction"},
  ),
  ("private", "trainloop/model/average.py"): (
    "an optimizer's own averages",
    {
      "optimizer._trainable_variables",
      "optimizer._model_variables_moving_average",
    },
  ),
  ("private", "trainloop/model/effects.py"): (
    "whether a Keras optimizer decays a weight",
    {"optimizer._use_weight_decay"},
  ),
  ("private", "trainloop/model/frozen_weights.py"): (
    "`Model.layers` leaves out layers inside a layer",
    {"model._flatten_layers"},
  ),
  ("private", "trainloop/model/layer_states.py"): (
    "`Model.layers` leaves out layers inside a layer",
    {"model._flatten_layers"},
  ),
  ("private", "trainloop/model/lookups.py"): (
    "`Model.layers` leaves out layers inside a layer",
    {"model._flatten_layers"},
  ),
  ("foreign", "trainloop/model/lookups.py"): (
    "a layer of Keras is hooked, and set free",
    {"layer.__dict__['call']"},
  ),
  ("private", "trainloop/model/model_metrics.py"): (
    "the losses that a model of Keras names",
    {"model._compile_loss"},
  ),
  ("foreign", "trainloop/model/model_metrics.py"): (
    "a tracker of Keras is hooked while a model is read",
    {
      "vars(tracker)['update_state']",
      "vars(tracker).pop()",
      "vars(model)['get_metrics_result']",
      "vars(model).pop()",
    },
  ),
  ("private", "trainloop/model/reductions.py"): (
    "where Keras reduces a loss",
    {"keras.src.backend", "keras.src.losses.loss"},
  ),
  ("private", "trainloop/model/scheduled_optimizer.py"): (
    "a property would evaluate a schedule, or drop a variable",
    {
      "optimizer._learning_rate",
      "self.optimizer._learning_rate",
      "self.optimizer._trainable_variables",
      "optimizer._all_reduce_sum_gradients",
    },
  ),
  ("foreign", "trainloop/model/scheduled_optimizer.py"): (
    "an optimizer of Keras holds tensors while one update is traced",
    {
      "self.optimizer.momentum",
      "vars(optimizer)['_learning_rate']",
      "setattr(optimizer)",
      "optimizer._all_reduce_sum_gradients",
      "optimizer.update_step",
      "vars(optimizer).pop()",
    },
  ),
  ("members", "trainloop/workdir/fit_plan.py"): (
    "the numbers of a plan, and what is asked of a step by them",
    {"FitPlan"},
  ),
  ("private", "trainloop/model/exclusive_calls.py"): (
    "`Model.layers` leaves out layers inside a layer",
    {"self._model._flatten_layers"},
  ),
  ("private", "trainloop/workdir/model_identity.py"): (
    "how Keras wires layers and operations",
    {
      "layer._flatten_layers",
      "value._keras_history",
      "todo[-1]._keras_history",
      "one._keras_history",
      "operation._inbound_nodes",
    },
  ),
  ("foreign", "trainloop/workdir/tensorboard/plugin_summaries.py"): (
    "a proto is filled by its fields",
    {"value.metadata.plugin_data.plugin_name"},
  ),
  ("foreign", "scripts/benchmarks/keras_runners.py"): (
    "what a user of `fit` sets in an optimizer of Keras",
    {"self.model.optimizer.learning_rate"},
  ),
  ("foreign", "scripts/cli/verbosity.py"): (
    "absl's own flag, with levels of this project",
    {"flag.help"},
  ),
  ("foreign", "scripts/kills/points.py"): (
    "kills come without hooks in the code: methods are wrapped in a fork",
    {"setattr(owner)"},
  ),
}


@pytest.fixture(scope="module")
def modules():
  return house.read(ROOT)


@pytest.mark.parametrize("rule", RULES)
def test_house_stands(modules, rule):
  used, broken = set(), []
  for violation in RULES[rule](modules):
    place = rule, violation.path
    if violation.symbol in ALLOWED.get(place, ("", ()))[1]:
      used.add((*place, violation.symbol))
    else:
      broken.append(str(violation))
  drawn = house.drawing(modules) if rule in ("order", "circles") else ""
  assert not broken, "\n".join([*broken, drawn])
  stale = {
    (*place, symbol)
    for place, (_, symbols) in ALLOWED.items()
    for symbol in symbols
    if place[0] == rule
  }
  assert stale <= used, f"no longer needed: {sorted(stale - used)}"


def test_tests_stand_where_the_wings_do():
  wings = {p.parent.name for p in ROOT.glob("trainloop/*/__init__.py")}
  folders = {p.parent.name for p in ROOT.glob("tests/*/test_*.py")}
  apart = {"integration", "promises"}
  assert folders <= wings | {"kernels", "scripts"} | apart
  assert wings | {"kernels"} <= folders


def lines_of(rule, files):
  modules = [house.module(path, text) for path, text in files.items()]
  return [str(one) for one in RULES[rule](modules)]


@pytest.mark.parametrize("name", PLANTED)
def test_planted_violation_is_seen(name):
  rule, files, line = PLANTED[name]
  lines = lines_of(rule, files)
  assert any(one.startswith(line) for one in lines), lines


@pytest.mark.parametrize("name", CLEAN)
def test_clean_house_is_left_alone(name):
  rule, files = CLEAN[name]
  assert lines_of(rule, files) == []


def test_every_rule_has_a_planted_violation_and_a_clean_house():
  assert {rule for rule, *_ in PLANTED.values()} == set(RULES)
  assert {rule for rule, _ in CLEAN.values()} == set(RULES) - {"rooms"}


def test_documents_name_files_that_exist():
  names = {path.name for path in ROOT.rglob("*.py")}
  documents = [ROOT / "WORKSPACE.md", *ROOT.glob("*/README.md")]
  documents += [ROOT / "README.md", *ROOT.glob("*/*/README.md")]
  for path in documents:
    text = path.read_text()
    gone = set(re.findall(r"`(?:[\w/]+/)?([a-z]\w*\.py)`", text)) - names
    assert not gone - {"mine.py", "test_X.py"}, (path, gone)
    for link in re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", text):
      assert (path.parent / link).exists(), (path, link)


def test_every_wing_says_what_it_is_for():
  listed = (ROOT / "WORKSPACE.md").read_text()
  for path in ROOT.glob("trainloop/*/__init__.py"):
    for word in ("Enters:", "Leaves:", "May import:"):
      assert word in path.read_text(), (path, word)
    assert f"(trainloop/{path.parent.name}/README.md)" in listed
