"""Plans of long runs: few points, the kernel's own bits, nothing missed."""

import json
import subprocess
import sys
import tracemalloc

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernels
import trainloop
from support import small, workdirs
from trainloop.display import outline
from trainloop.workdir import dry_run

N = 300_000
PAIR = (0.95, 0.85)
KERAS = keras.optimizers.schedules


@keras.saving.register_keras_serializable(package="test_outline")
class Jump(KERAS.LearningRateSchedule):
  """One that no kernel knows, with jumps at steps that nothing names."""

  def __call__(self, step):
    high = tf.where(step < 200_003, 0.2, 0.01)
    return tf.where(step < 123_457, 0.1, high)

  def get_config(self):
    return {}


class Wave(kernels.Schedule):
  """A user's kernel that names no corners; its peaks are on no grid."""

  total_steps = None

  def compute(self, step):
    turn = tf.cast(step, tf.float64) / 10_000.3
    return 1.0 + tf.sin(turn), 0.5 + 0.25 * tf.cos(turn)


# (schedule, steps that must be among the points)
CASES = [
  (kernels.Constant(0.1, 0.9), []),
  (kernels.Linear(0.1, 0.0, 250_001), [250_001]),
  (kernels.Cosine(0.1, N), []),
  (kernels.Polynomial(0.3, 1e-3, 40_000, 0.5, cycle=True), [40_000, 40_001]),
  (kernels.Polynomial(0.3, 0.0, 234_567, 2.5), [234_567]),
  (kernels.Exponential(0.3, 10_000, 0.6), []),
  (kernels.Exponential(0.3, 9_999, 0.6, True), [9_998, 9_999, 299_970]),
  (kernels.Exponential(0.3, 10_000, 0.6, end_lr=0.01), [66_583]),
  (kernels.Exponential(0.1, 7_000, 1.5, True, 0.5), [27_999, 28_000]),
  (kernels.InverseTime(0.3, 999, 0.6, True), [998, 999, 299_700]),
  (kernels.InverseSqrt(0.3, 7_777), [7_777]),
  (kernels.Power(0.01, 1.0, -0.5), [9_999]),
  (
    kernels.Warmup(kernels.CosineRestarts(0.3, 10_007), 15_000, shift=False),
    [14_999, 15_000, 20_013, 20_014],
  ),
  (
    kernels.Product(
      [kernels.CosineRestarts(0.3, 10_007), kernels.StepDecay(1.0, 0.5, 7_777)]
    ),
    [7_776, 7_777, 10_006, 10_007, 15_554],
  ),
  (kernels.StepDecay(0.3, 0.5, 7_777), [7_776, 7_777, 15_554]),
  (
    kernels.PiecewiseConstant([5, 20, 123_456], [0.3, 0.2, 0.1, 0.0]),
    [4, 5, 19, 20, 123_455, 123_456],
  ),
  (kernels.CosineRestarts(0.3, 10_007, momentum=PAIR), [10_006, 10_007]),
  (kernels.CosineRestarts(0.3, 100, 1.1, 0.9, 1e-4), [100, 210, 331]),
  (kernels.CosineRestarts(0.3, 1000, 2.0, cycles=7), [1000, 3000, 127_000]),
  (kernels.Triangular(1e-3, 0.3, 7_001, 9_000), [7_001, 16_001, 23_002]),
  (
    kernels.Triangular(
      0.0, 0.3, 40_000, 50_000, "exp_range", 0.99995, 0.001, PAIR
    ),
    [40_000, 89_999, 90_000],
  ),
  (kernels.OneCycle(0.3, N), [89_999, 299_999]),
  (kernels.OneCycle(0.3, N, 0.29, three_phase=True), [86_999, 173_998]),
  (kernels.OneCycle.preset("fastai", 0.3, 300_001), [75_000, 75_001]),
  (kernels.OneCycle.preset("ktrain", 0.3, 300_001), [150_001]),
  (
    kernels.WarmupCosine(0.3, 777, N - 5, 999, 1e-3, 1e-5, PAIR),
    [777, 1776, 299_995],
  ),
  (kernels.RangeSweep(1e-7, 10.0, N), [N - 1]),
  (
    kernels.WarmupStableDecay(0.3, 777, 200_000, 5_000, decay="sqrt"),
    [777, 200_777, 205_777],
  ),
  (
    kernels.WarmupStableDecay(0.3, 777, 70_000, 5_000, cycles=None),
    [777, 70_777, 75_777, 75_778, 145_777, 150_777, 150_778],
  ),
  (
    kernels.Join(
      [kernels.OneCycle(0.3, 30_000), kernels.CosineRestarts(
        0.3, 5_003, momentum=PAIR)], [30_000],
    ),
    [8_999, 29_999, 30_000, 35_003, 40_006],
  ),
  (kernels.Warmup(kernels.Triangular(0.0, 0.1, 1000), 12_345), [12_345]),
  (kernels.Scaled(kernels.StepDecay(0.3, 0.5, 7_777), 0.5), [7_776, 7_777]),
  (kernels.from_function(lambda epoch: 0.3 / (1 + epoch), 300, 1000), [999]),
  (kernels.from_keras(Jump()), [123_456, 123_457, 200_002, 200_003]),
  (kernels.from_keras(KERAS.CosineDecay(0.1, N), 0.9), []),
  (Wave(), []),
]  # fmt: skip


@pytest.mark.parametrize(
  ("schedule", "named"), CASES, ids=[type(c[0]).__name__ for c in CASES]
)
def test_a_long_plan_is_the_curve(schedule, named):
  drawn = outline.of(schedule, 0, N)
  steps = drawn.steps
  assert len(steps) <= outline.MOST and drawn.left_out == 0
  assert (np.diff(steps) > 0).all() and {0, N - 1} <= set(steps.tolist())
  assert {s for s in named if s < N} <= set(steps.tolist())
  starts = schedule.cycle_starts(N)
  assert {*starts, *(s - 1 for s in starts)} <= set(steps.tolist())
  table = kernels.tabulate(schedule, N)
  for found, whole in zip(drawn[1:3], table, strict=True):
    assert (found is None) == (whole is None)
    if whole is None:
      continue
    assert found.tobytes() == whole[steps].tobytes()
    assert found.max() == whole.max() and found.min() == whole.min()
    whole = whole.astype(np.float64)
    line = np.interp(np.arange(N), steps, found.astype(np.float64))
    share = np.maximum(whole, 1e-6 * whole.max()) + 1e-38
    # Points lie between those that were asked: twice the tolerance.
    assert (np.abs(line - whole) / share).max() < 2 * outline.TOLERANCE


@pytest.mark.parametrize("first", [0, 7])
def test_a_short_plan_is_every_step(first):
  schedule = kernels.CosineRestarts(0.3, 3, momentum=PAIR)
  last = first + outline.MOST
  drawn = outline.of(schedule, first, last)
  steps = np.arange(first, last)
  assert drawn.steps.tobytes() == steps.tobytes()
  table = kernels.tabulate(schedule, steps)
  for found, want in zip(drawn[1:3], table, strict=True):
    assert found.tobytes() == want.tobytes()
  assert drawn.note(outline.MOST) == ""


@pytest.mark.parametrize(
  "schedule",
  [
    kernels.CosineRestarts(0.3, 30, momentum=PAIR),
    kernels.Triangular(0.01, 0.3, 5),
    kernels.Exponential(0.3, 40, 0.999, staircase=True),
    kernels.Join(
      [kernels.Triangular(0.01, 0.3, 5), kernels.OneCycle(
        0.3, 2 * 10**6, momentum=None)], [2 * 10**6],
    ),
  ],
  ids=lambda schedule: type(schedule).__name__,
)  # fmt: skip
def test_more_corners_than_points(schedule):
  last = 4 * 10**6
  drawn = outline.of(schedule, 0, last)
  assert len(drawn.steps) <= outline.MOST and drawn.left_out > 0
  assert str(f"{drawn.left_out:,} corners are left out") in drawn.note(last)
  rates, momenta = kernels.tabulate(schedule, drawn.steps)
  assert drawn.rates.tobytes() == rates.tobytes()
  if momenta is not None:
    assert drawn.momenta.tobytes() == momenta.tobytes()
  # The band that the cycles fill: its edges all along.
  part = last // 20
  for begin in range(0, last, part):
    inside = (drawn.steps >= begin) & (drawn.steps < begin + part)
    whole = kernels.tabulate(schedule, np.arange(begin, begin + part))[0]
    span = whole.max() - whole.min()
    found = drawn.rates[inside]
    np.testing.assert_allclose(found.max(), whole.max(), atol=0.01 * span)
    np.testing.assert_allclose(found.min(), whole.min(), atol=0.01 * span)


def test_a_dry_run_of_two_million_updates_writes_little(tmp_path):
  steps = 2_200_000
  for schedule in (
    kernels.OneCycle(0.1, steps),
    kernels.CosineRestarts(0.1, 50, momentum=PAIR),
  ):
    assert dry_run.write(tmp_path, schedule, steps)
    (path,) = (p for p in tmp_path.rglob("*") if p.is_file())
    assert path.stat().st_size < 12e6
    plan = workdirs.scalars(tmp_path / "plan")
    for tag, (at, values) in plan.items():
      found = kernels.tabulate(schedule, np.array(at))
      want = found[0] if "rate" in tag else found[1]
      assert values.tobytes() == want.tobytes()
      assert (at[0], at[-1]) == (0, steps - 1)


# Its memory is that of the process, so it is one of its own.
GROWTH = """
import json, resource, sys, tempfile
import numpy as np, kernels
from trainloop.workdir import dry_run
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
kernels.tabulate(kernels.OneCycle(0.1, 10), 10)
before, n = peak(), 10**8
for schedule in (kernels.OneCycle(0.1, n), kernels.CosineRestarts(0.1, 100)):
  with tempfile.TemporaryDirectory() as folder:
    dry_run.write(folder, schedule, n)
print(json.dumps(peak() - before))
"""


def test_the_memory_of_a_plan_does_not_grow_with_the_run():
  done = subprocess.run(
    [sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True
  )
  assert json.loads(done.stdout) < 200e6


@pytest.mark.parametrize(
  ("schedule", "judge"),
  [
    (kernels.CosineRestarts(0.1, 30, momentum=PAIR), "cycle"),
    (trainloop.recipes.one_cycle(0.1), "epoch"),
    (None, "epoch"),
  ],
)
def test_a_fit_of_a_hundred_million_updates_begins(tmp_path, schedule, judge):
  stopping = trainloop.EarlyStopping("val_loss", patience=3, unit=judge)
  loop = small.loop(
    workdir=tmp_path,
    schedule=schedule,
    early_stopping=stopping,
    on_window=lambda _: loop.stop(),
    compile="graph",
    steps_per_loop=1,
  )
  tracemalloc.start()
  try:
    history = loop.fit(small.data(), 10**7, validation=small.data(32, 16))
    _, peak = tracemalloc.get_traced_memory()
  finally:
    tracemalloc.stop()
  assert history.stop_reason == "preempted"
  assert peak < 100e6
  sizes = [path.stat().st_size for path in (tmp_path / "plan").iterdir()]
  assert 1e6 < sum(sizes) < 12e6


# What happened at the points of a plan; they are few, so that a small run has
# a plan with steps between them.
@pytest.fixture
def few(monkeypatch):
  monkeypatch.setattr(outline, "MOST", 100)


def check_plan(folder, rows, first, count):
  """A plan's points are what rows of the run say, bit for bit."""
  plan = workdirs.scalars(folder)
  columns = {tag: tag.partition("/")[2] for tag in plan}
  assert set(columns.values()) == {"learning_rate", "momentum"}
  for tag, name in columns.items():
    steps, values = plan[tag]
    assert len(steps) <= 100 < count
    assert (steps[0], steps[-1]) == (first, first + count - 1)
    assert values.tobytes() == rows[name][steps].tobytes()


def test_the_plan_equals_what_happened_at_its_points(few, tmp_path):
  schedule = kernels.CosineRestarts(0.1, 45, 1.5, momentum=PAIR)
  options = {"schedule": schedule, "workdir": tmp_path, "steps_per_loop": 50}
  rows = small.loop(**options).fit(small.data(), 20).rows
  check_plan(tmp_path / "plan", rows, 0, 240)
  again = small.loop(**options, existing="replan")
  history = again.fit(small.data(), 40)
  check_plan(tmp_path / "plan_from_240", history.rows, 240, 240)
  planned = history.planned()
  assert len(planned.steps) <= 100 and planned.steps[-1] == 479
  used = history.rows["learning_rate"][planned.steps]
  assert planned.rates.tobytes() == used.tobytes()
