"""What TensorBoard's pages say of a fit, and what may be asked of them."""

import math

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.compat.proto import summary_pb2
from tensorboard.plugins.hparams import metadata

import kernels
import trainloop
from support import interruption, small, workdirs
from trainloop.workdir import dry_run, hparams, profiler, speed
from trainloop.workdir.tensorboard import panel, plugin_summaries

PEAK, CYCLE = 0.1, 12


def make(workdir, **options):
  schedule = kernels.CosineRestarts(PEAK, CYCLE)
  options = {"schedule": schedule, "compile": "graph", **options}
  return small.loop(workdir=workdir, **options)


def read(workdir, run="train"):
  return workdirs.accumulator(workdir / run, tensors=0)


def texts(workdir):
  """{tag: [(step, text)]} of run "train"."""
  reader = read(workdir)
  return {
    tag: [
      (point.step, point.tensor_proto.string_val[0].decode())
      for point in reader.Tensors(tag)
    ]
    for tag in reader.PluginTagToContent("text")
  }


def session(workdir, run):
  """(hparams as a dict, status or None) of a run's session."""
  found = read(workdir, run).PluginTagToContent(metadata.PLUGIN_NAME)
  start = metadata.parse_session_start_info_plugin_data(
    found[metadata.SESSION_START_INFO_TAG]
  )
  values = {
    name: getattr(value, value.WhichOneof("kind"))
    for name, value in start.hparams.items()
  }
  if metadata.SESSION_END_INFO_TAG not in found:
    return values, None
  end = metadata.parse_session_end_info_plugin_data(
    found[metadata.SESSION_END_INFO_TAG]
  )
  return values, end.status


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("run")
  loop = make(
    workdir,
    steps_per_loop=5,
    hparams={"width": 6, "rich": False, "name": "mine"},
    seed=3,
    log_graph=True,
    profile="14:20",
  )
  loop.fit(small.data(), 2, validation=small.data(32, 16))
  loop.fit(small.data(), 1, schedule=kernels.Constant(0.01))
  return workdir, loop


@pytest.mark.parametrize(
  "given",
  [
    {"a": None},
    {"a": [1]},
    {"a": math.nan},
    {"a": np.inf},
    {1: 2},
    {"": 1},
    [("a", 1)],
  ],
)
def test_bad_hparams_are_refused_in_one_line(given):
  with pytest.raises(ValueError, match=r"hparams.* must be") as error:
    make(None, hparams=given)
  assert "\n" not in str(error.value)


@pytest.mark.parametrize(
  ("name", "value"),
  [
    ("histograms_every", "often"),
    ("histograms_every", "0.001ep"),
    ("profile", "120:100"),
    ("profile", "5:5"),
    ("profile", "100"),
    ("profile", 100),
    ("log_graph", "yes"),
  ],
)
def test_bad_extras_are_refused_before_step_1(name, value, tmp_path):
  with pytest.raises(ValueError, match=f"`{name}` must be") as error:
    make(tmp_path / "run", **{name: value}).fit(small.data(), 1)
  assert "\n" not in str(error.value)
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
  ("name", "value"),
  [("histograms_every", "1ep"), ("profile", "1:2"), ("log_graph", True)],
)
def test_extras_need_a_workdir(name, value):
  with pytest.raises(ValueError, match=f"`{name}` .*workdir"):
    make(None, **{name: value})


def test_hparams_are_plain_and_ones_own():
  given = {"a": np.float32(0.5), "b": np.int64(3), "c": True}
  found = hparams.check(given)
  given["a"] = 7
  assert found == {"a": 0.5, "b": 3, "c": True}
  assert [type(v) for v in found.values()] == [float, int, bool]


def test_results_are_the_last_and_the_best():
  found = hparams.results(
    {
      "epoch": np.array([1, 2, 3]),
      "loss": np.array([3.0, 1.0, 2.0]),
      "val_accuracy": np.array([0.5, 0.7, np.nan]),
      "oddness": np.array([1.0, 2.0, 3.0]),
      "val_loss": np.full(3, np.nan),
      "val_gap": np.array([2.0, 1.0, 3.0]),
    },
    {"gap": -1},
  )
  assert found == {
    "final/loss": 2.0,
    "best/loss": 1.0,
    "final/val_accuracy": 0.7,
    "best/val_accuracy": 0.7,
    "final/oddness": 3.0,
    "final/val_gap": 3.0,
    "best/val_gap": 1.0,
  }


def test_a_session_a_fit(run):
  workdir, loop = run
  values, status = session(workdir, "fit_1")
  assert status == plugin_summaries.STATUS["success"]
  want = {
    "schedule": "CosineRestarts",
    "schedule/peak_lr": PEAK,
    "schedule/cycle_steps": CYCLE,
    "optimizer": "SGD",
    "optimizer/momentum": pytest.approx(0.9),
    "batch_size": 8,
    "epochs": 2,
    "engine": loop.engine.name,
    "seed": 3,
    "width": 6,
    "rich": False,
    "name": "mine",
  }
  assert {name: values[name] for name in want} == want
  second, status = session(workdir, "fit_2")
  assert status == plugin_summaries.STATUS["success"]
  assert (second["schedule"], second["epochs"]) == ("Constant", 1)
  epochs = loop.history.epochs
  results = workdirs.scalars(workdir / "fit_2")
  for metric in ("loss", "accuracy"):
    steps, (value,) = results[f"final/{metric}"]
    assert steps == [35]
    assert value == epochs[metric].astype(np.float32)[-1]


def test_events_and_schedule_as_text(run):
  workdir, _ = run
  found = texts(workdir)
  assert [step for step, _ in found["run/schedule"]] == [0, 24]
  first, second = (text for _, text in found["run/schedule"])
  assert "CosineRestarts(peak_lr=0.1" in first
  assert "| cycles start | steps 12 |" in first
  assert "| epochs | 1 of 12 steps |" in second
  assert [step for step, _ in found["run/command"]] == [0, 24]
  assert found["events/restart"] == [
    (12, "a cycle starts at step 12 with learning rate 0.1")
  ]
  assert found["events/stop"] == [
    (24, "completed after 24 steps"),
    (36, "completed after 36 steps"),
  ]


def test_the_graph_is_the_models(run):
  graph = read(run[0]).Graph()
  assert "MatMul" in {node.op for node in graph.node}


def test_a_profile_of_the_steps_that_were_asked_for(run):
  # Nothing public reads it; this notices if the format's module moves.
  from tensorflow.tsl.profiler.protobuf import xplane_pb2

  (path,) = (run[0] / "train" / "plugins" / "profile").glob("*/*.xplane.pb")
  space = xplane_pb2.XSpace.FromString(path.read_bytes())
  assert sum(len(line.events) for p in space.planes for line in p.lines)


def test_windows_end_where_a_profile_does(monkeypatch, tmp_path):
  seen = []
  for name in ("start", "stop"):

    def told(*folder, name=name):
      seen.append((name, *folder))

    monkeypatch.setattr(tf.profiler.experimental, name, told)
  loop = make(tmp_path, steps_per_loop=100, profile="5:9")
  with interruption.windows(before=lambda edge: seen.append(edge.done)):
    loop.fit(small.data(), 1)
  assert seen == [0, 5, ("start", str(tmp_path / "train")), ("stop",), 9]


def test_a_profile_beyond_the_fit_is_told(tmp_path, capsys):
  make(tmp_path, profile="100:110").fit(small.data(), 1)
  told = capsys.readouterr().out
  assert "profile 100:110 is not all in this fit, which ends at step" in told


def test_a_duration_beyond_the_fit_is_one_line_of_caution(tmp_path, capsys):
  loop = make(tmp_path, checkpoint_every="2ep", histograms_every="1000st")
  loop.fit(small.data(), 1)
  lines = capsys.readouterr().out.splitlines()
  assert [line for line in lines if "warning" in line] == [
    "warning: `checkpoint_every` is 24 steps, and this fit has 12: none comes "
    "before its end",
    "warning: `histograms_every` is 1000 steps, and this fit has 12: none "
    "comes before its end",
  ]


def test_a_profile_ends_with_its_fit(monkeypatch, tmp_path):
  seen = []
  monkeypatch.setattr(tf.profiler.experimental, "start", seen.append)
  monkeypatch.setattr(tf.profiler.experimental, "stop", lambda: seen.append(0))
  profile = profiler.of(str(tmp_path), profiler.parse("3:9"))
  profile.before(2)
  assert seen == []
  profile.before(4)  # a run that went on inside
  profile.after(6)
  profile.before(6)
  profile.stop()
  profile.stop()
  assert seen == [str(tmp_path / "train"), 0]


def test_a_profile_that_fails_ends_no_run(tmp_path, capsys):
  tf.profiler.experimental.start(str(tmp_path / "theirs"))
  make(tmp_path / "run", steps_per_loop=2, profile="3:9").fit(small.data(), 1)
  tf.profiler.experimental.stop()  # the user's own goes on till here
  assert list((tmp_path / "theirs").rglob("*.xplane.pb"))
  (line,) = [
    line for line in capsys.readouterr().out.splitlines() if "profile" in line
  ]
  assert "warning: no profile is written (" in line


def test_a_profile_that_the_disk_does_not_take_ends_no_run(tmp_path):
  told = []
  profile = profiler.of(str(tmp_path), profiler.parse("3:9"), told.append)
  profile.before(3)
  (tmp_path / "train" / "plugins" / "profile").rmdir()
  (tmp_path / "train" / "plugins" / "profile").write_text("no folder")
  profile.after(9)
  profile.before(4)
  profile.stop()
  assert len(told) == 1 and told[0].startswith("warning: no profile is written")


def test_a_stop_and_the_way_on_leave_nothing_double(tmp_path):
  options = {
    "steps_per_loop": 4,
    "validate_every": "6st",
    "early_stopping": trainloop.EarlyStopping(patience=9),
    "reduce_on_plateau": trainloop.ReduceOnPlateau(patience=1, min_delta=9.0),
  }
  valid = small.data(32, 16)
  want, cut = tmp_path / "whole", tmp_path / "cut"
  make(want, **options).fit(small.data(), 2, validation=valid)

  def stop(window):
    if window["step"] == 16:
      first.stop()

  first = make(cut, on_window=stop, **options)
  first.fit(small.data(), 2, validation=valid)
  step = first.global_step
  assert session(cut, "fit_1")[1] == plugin_summaries.STATUS["unknown"]
  make(cut, **options).fit(small.data(), 2, validation=valid)
  assert session(cut, "fit_1")[1] == plugin_summaries.STATUS["success"]
  told, whole = texts(cut), texts(want)
  assert told.pop("events/resume") == [(step, f"goes on at step {step} of 24")]
  stopped = f"preempted after {step} steps; it can go on"
  assert told["events/stop"].pop(0) == (step, stopped)
  assert told == whole
  assert {"events/best", "events/plateau", "events/restart"} <= set(told)


def test_a_run_that_an_update_ends_has_failed(tmp_path):
  x, y = small.arrays()
  x[50] = 3e38  # overflows in the first layer
  data = trainloop.ArrayData(x, y, batch_size=8, shuffle=False)
  with pytest.raises(trainloop.NonFiniteError):
    make(tmp_path).fit(data, 1)
  assert session(tmp_path, "fit_1")[1] == plugin_summaries.STATUS["failure"]
  ((step, told),) = texts(tmp_path)["events/stop"]
  assert (step, told) == (6, "not finite after 6 steps; it can go on")


def test_a_replan_has_a_session_of_its_own(tmp_path):
  make(tmp_path).fit(small.data(), 1)
  make(tmp_path, existing="replan").fit(small.data(), 2)
  assert session(tmp_path, "fit_1")[0]["epochs"] == 1
  values, status = session(tmp_path, "fit_1_from_12")
  assert (values["epochs"], status) == (2, plugin_summaries.STATUS["success"])
  assert texts(tmp_path)["events/replan"][0][0] == 12


def test_a_dry_run_is_replaced_and_stays_away_from_a_run(run, tmp_path):
  schedule = kernels.Constant(0.1)
  for momentum in (None, 0.5):
    assert dry_run.write(tmp_path, schedule, 12, momentum)
  dry = workdirs.scalars(tmp_path / "plan")
  steps, momenta = dry["hyperparameters/momentum"]
  assert (steps, set(momenta)) == (list(range(12)), {0.5})
  small.loop(
    optimizer="adagrad", schedule=schedule, workdir=tmp_path, compile="graph"
  ).fit(small.data(), 1)
  plan = workdirs.scalars(tmp_path / "plan")
  assert list(plan) == ["hyperparameters/learning_rate"]
  assert plan["hyperparameters/learning_rate"][0] == list(range(12))
  before = workdirs.scalars(run[0] / "plan")
  assert not dry_run.write(run[0], schedule, 12)
  assert list(workdirs.scalars(run[0] / "plan")) == list(before)


def test_without_momentum_there_is_no_chart_of_it():
  charts = panel.layout(["loss", "mae"], has_momentum=False)
  first, both, _ = charts.values()
  assert list(first) == ["learning rate", "loss", "gradient norm"]
  assert both == {"loss": ["epoch_loss"], "mae": ["mae"]}


def test_names_of_metrics_are_no_patterns():
  made = plugin_summaries.layout({"a": {"b": ["top(5)+"]}})
  assert b"^top\\(5\\)\\+$" in made
  assert summary_pb2.Summary.FromString(made).value[0].tag


def test_speed_a_point_a_second_at_most():
  now = [0.0]
  meter = speed.Speed(examples=4, clock=lambda: now[0])
  points = []
  for seconds in (5.0, 0.5, 0.25, 0.25, 0.1):  # the first one compiles
    now[0] += seconds
    points.append(meter.window(10, seconds))
  assert points[:3] == [None] * 3
  assert points[3] == {
    speed.STEPS: 30.0,
    speed.EXAMPLES: 120.0,
    speed.WINDOW: pytest.approx(1000 / 3),
  }
  assert points[4] is None
  assert meter.rest() is None


def test_speed_of_one_window_is_told_at_the_end():
  now = [0.0]
  meter = speed.Speed(clock=lambda: now[0])
  now[0] = 2.0
  assert meter.window(10, 2.0) is None
  assert meter.rest() == {speed.STEPS: 5.0, speed.WINDOW: 2000.0}
