"""The real TensorBoard serves a real run; read through its HTTP interface."""

import contextlib
import json
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request

import matplotlib.image
import numpy as np
import pytest

from support import commands

EPOCHS = 3
LAST = EPOCHS * 44 - 1
FLAGS = (
  "--schedule=cosine_restarts",
  "--cycle_len=1ep",
  "--cycle_mult=2",
  "--momentum_range=0.95,0.85",
  f"--epochs={EPOCHS}",
  "--hidden=16",
  "--early_stopping=3",
  "--on_nonfinite=skip",
)
RATES = ("hyperparameters/learning_rate", "hyperparameters/momentum")
UPDATES = (*RATES, "loss", "grad_norm")
SPEED = {"steps_per_second", "examples_per_second", "window_ms"}
# Of a page without any other run, in the order that the runs begin in.
COLORS = {
  "plan": (255, 112, 67),
  "train": (204, 51, 17),
  "validation": (51, 187, 238),
}


class Page:
  """TensorBoard's HTTP interface."""

  def __init__(self, url):
    self.url = url

  def __call__(self, path, body=None, **query):
    query = urllib.parse.urlencode(query)
    request = urllib.request.Request(
      f"{self.url}/data/{path}?{query}",
      data=None if body is None else json.dumps(body).encode(),
      headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
      return json.load(answer)

  def scalars(self, run, tag):
    """[(step, value)]."""
    found = self("plugin/scalars/scalars", run=run, tag=tag)
    return [(step, value) for _, step, value in found]

  def texts(self, tag):
    """[(step, HTML)] of run "train"."""
    found = self("plugin/text/text", run="train", tag=tag)
    return [(one["step"], one["text"]) for one in found]


@contextlib.contextmanager
def served(workdir):
  """A `Page` of a TensorBoard that has read the workdir."""
  # It thins out what is longer than a thousand points, unless told otherwise.
  flags = ("--port=0", "--load_fast=false", "--samples_per_plugin=scalars=9999")
  process = subprocess.Popen(
    [sys.executable, "-m", "tensorboard.main", f"--logdir={workdir}", *flags],
    stderr=subprocess.PIPE,
    text=True,
  )
  try:
    lines = (re.search(r"http://\S+?:\d+", line) for line in process.stderr)
    url = next((match[0] for match in lines if match), None)
    assert url, "tensorboard ended"
    rest = threading.Thread(target=process.stderr.read, daemon=True)
    rest.start()
    yield Page(url)
  finally:
    process.kill()
    process.wait()


def _is_read(page):
  """Whether it has come to the end of all runs."""
  ends = {
    "train": "accuracy",
    "validation": "loss",
    "plan": RATES[0],
    "fit_1": "final/loss",
  }
  tags = page("plugin/scalars/tags")
  return all(
    tag in tags.get(run, {}) and page.scalars(run, tag)[-1][0] == LAST
    for run, tag in ends.items()
  )


@pytest.fixture(scope="module")
def page(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("runs") / "digits"
  done = commands.train(*FLAGS, f"--workdir={workdir}", cwd=workdir.parent)
  assert done.returncode == 0, done.stderr
  with served(workdir) as found:
    deadline = time.monotonic() + 120
    while not _is_read(found):
      assert time.monotonic() < deadline, found("plugin/scalars/tags")
      time.sleep(0.2)
    yield found


def test_every_tag_is_there(page):
  assert set(page("runs")) == {"train", "validation", "plan", "fit_1"}
  tags = {run: set(found) for run, found in page("plugin/scalars/tags").items()}
  assert tags["plan"] == set(RATES)
  speed = {f"speed/{name}" for name in SPEED}
  assert tags["train"] == {*UPDATES, "epoch_loss", "accuracy", *speed}
  assert tags["validation"] == {"loss", "epoch_loss", "accuracy"}
  metrics = ("loss", "accuracy", "val_loss", "val_accuracy")
  assert tags["fit_1"] == {
    f"{w}/{m}" for w in ("final", "best") for m in metrics
  }


def test_a_point_for_every_update_and_plan_equals_actual(page):
  found = {tag: page.scalars("train", tag) for tag in UPDATES}
  for tag, points in found.items():
    assert [step for step, _ in points] == list(range(LAST + 1)), tag
  for tag in RATES:
    assert page.scalars("plan", tag) == found[tag]
  for run in ("train", "validation"):
    for tag in ("epoch_loss", "accuracy"):
      ends = [step for step, _ in page.scalars(run, tag)]
      assert ends == [43, 87, LAST], (run, tag)
  for name in SPEED:
    points = page.scalars("train", f"speed/{name}")
    assert points and all(value > 0 for _, value in points), name


def test_the_layout_lays_rates_over_the_loss(page):
  layout = page("plugin/custom_scalars/layout")
  charts = {
    category["title"]: [
      (chart["title"], chart["multiline"]["tag"]) for chart in category["chart"]
    ]
    for category in layout["category"]
  }
  assert [name for name, _ in charts["learning rate over loss"]] == [
    "learning rate",
    "momentum",
    "loss",
    "gradient norm",
  ]
  for title, runs in (
    ("learning rate over loss", ("train",)),
    ("train against validation", ("train", "validation")),
    ("speed", ("train",)),
  ):
    for name, (tag,) in charts[title]:
      for run in runs:
        found = page("plugin/custom_scalars/scalars", run=run, tag=tag)
        assert found["regex_valid"]
        assert sum(map(len, found["tag_to_events"].values())), (name, run)


def test_the_session_has_flags_schedule_and_results(page):
  statuses = ("UNKNOWN", "SUCCESS", "FAILURE", "RUNNING")
  body = {
    "allowedStatuses": [f"STATUS_{name}" for name in statuses],
    "colParams": [],
    "startIndex": 0,
    "sliceSize": 10,
  }
  (group,) = page("plugin/hparams/session_groups", body)["sessionGroups"]
  (session,) = group["sessions"]
  assert session["status"] == "STATUS_SUCCESS"
  assert session["endTimeSecs"] > session["startTimeSecs"]
  values = group["hparams"]
  assert values["schedule"] == "CosineRestarts"
  assert values["schedule/cycle_steps"] == 44
  assert values["optimizer"] == "SGD"
  assert values["seed"] == 0
  assert values["flags/hidden"] == "16"
  assert values["flags/on_nonfinite"] == "skip"
  assert "flags/workdir" not in values
  found = {m["name"]["tag"]: m["value"] for m in group["metricValues"]}
  accuracies = [v for _, v in page.scalars("validation", "accuracy")]
  assert found["final/val_accuracy"] == accuracies[-1]
  assert found["best/val_accuracy"] == max(accuracies)
  names = {
    i["name"] for i in page("plugin/hparams/experiment", {})["hparamInfos"]
  }
  assert names == set(values)


def test_the_texts_tell_what_happened(page):
  tags = set(page("plugin/text/tags")["train"])
  events = {f"events/{kind}" for kind in ("best", "restart", "stop")}
  assert tags == {"run/command", "run/schedule", *events}
  ((step, command),) = page.texts("run/command")
  assert step == 0
  assert "--momentum_range=0.95,0.85" in command
  ((_, schedule),) = page.texts("run/schedule")
  assert "CosineRestarts(" in schedule
  assert "3 of 44 steps" in schedule
  ((step, restart),) = page.texts("events/restart")
  assert step == 44
  assert "with learning rate 0.1" in restart
  ((step, stop),) = page.texts("events/stop")
  assert (step, "completed after 132 steps" in stop) == (132, True)
  assert page.texts("events/best")[0][0] == 43


def test_a_browser_draws_the_curves(page, tmp_path):
  browser = shutil.which("chromium")
  if browser is None:
    pytest.skip("no chromium")
  picture = tmp_path / "page.png"
  flags = (
    "--headless --no-sandbox --disable-gpu --disable-background-networking"
  )
  subprocess.run(
    [
      browser,
      *flags.split(),
      f"--user-data-dir={tmp_path}",
      "--window-size=1200,1090",
      "--virtual-time-budget=30000",
      f"--screenshot={picture}",
      f"{page.url}/#custom_scalars&_smoothingWeight=0",
    ],
    check=True,
    capture_output=True,
    timeout=120,
  )
  pixels = matplotlib.image.imread(picture)[..., :3]
  seen = {
    run: (np.abs(pixels - np.array(color) / 255).max(-1) < 0.02)[:, 330:].sum()
    for run, color in COLORS.items()
  }
  # A few hundred each: lines of two pixels through charts 280 wide.
  assert all(count > 300 for count in seen.values()), seen
