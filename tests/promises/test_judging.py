"""Judging inside a run: cycles, warmup, target, divergence, what is kept."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernels
import trainloop
from support import interruption, resumable, small, workdirs
from trainloop.judging.judge import Judge
from trainloop.judging.kept_weights import KeptWeights

NAN = float("nan")
STEPS = 12  # of an epoch


def judged(values, *flags, plateau=None, **options):
  """What a judge says to each validation; `flags` are those of `verdict`."""
  options = {"monitor": "val_loss", "restore_best_weights": False, **options}
  judge = Judge([], trainloop.EarlyStopping(**options), plateau)
  rows = zip(values, *flags, strict=True) if flags else [(v,) for v in values]
  return [
    judge.verdict({options["monitor"]: value}, i, i, *rest)
    for i, (value, *rest) in enumerate(rows)
  ]


class Script(trainloop.TrainLoop):
  """A loop whose validations give written values, one after another."""

  def __init__(self, values, **options):
    super().__init__(
      small.model(),
      options.pop("optimizer", None) or keras.optimizers.SGD(0.1, momentum=0.9),
      "sparse_categorical_crossentropy",
      verbose=False,
      **{"compile": "graph", **options},
    )
    self._values, self.seen = list(values), []

    def evaluate(source, empty):
      del source
      self.seen.append(small.state_of(self))
      return {"loss": self._values[len(self.seen) - 1]}

    self.programs.evaluate = evaluate

  def go(self, epochs, **options):
    valid = small.data(16, 16)
    return self.fit(small.data(), epochs, validation=valid, **options)


def test_target_stops_at_once_and_is_kept_as_best():
  assert judged([5, 3, 1.9, 4], target=2.0)[:3] == [None, None, "target"]
  found = judged([0.5, 0.91], monitor="val_accuracy", target=0.9)
  assert found == [None, "target"]
  loop = Script(
    [5, 4, 1, 6],
    schedule=kernels.CosineRestarts(0.1, 4 * STEPS),
    early_stopping=trainloop.EarlyStopping(unit="cycle", target=2.0),
  )
  assert loop.go(4).stop_reason == "target"
  assert loop.best["value"] == 1 and loop.best["epoch"] == 3
  assert small.state_of(loop) == loop.seen[2]


def test_a_divergence_bound():
  assert judged([5, 9.9, 10.1], divergence=10)[-1] == "diverged"
  assert judged([5, NAN], divergence=10)[-1] == "diverged"
  found = judged([0.5, 0.09], monitor="val_accuracy", divergence=0.1)
  assert found == [None, "diverged"]
  loop = Script(
    [5, 99, 1],
    schedule=kernels.Constant(0.1),
    early_stopping=trainloop.EarlyStopping(divergence=50.0),
  )
  history = loop.go(5)
  assert history.stop_reason == "diverged"
  assert history.epochs["epoch"].tolist() == [1, 2]
  assert loop.best["epoch"] == 1


def test_nothing_is_counted_in_the_warmup():
  due, cold = [True] * 5, [False] * 5
  warm = [True, True, True, False, False]
  found = judged([1, 2, 3, 4, 5], due, cold, warm, patience=2)
  assert found == [None] * 4 + ["early_stopping"]
  plateau = trainloop.ReduceOnPlateau(patience=1, factor=0.5)
  judge = Judge([], None, plateau)
  for i, one in enumerate(warm):
    judge.verdict({"val_loss": float(i)}, i, i, True, False, one)
  assert float(judge.scale.numpy()) == 0.5  # 4 is best, 5 is not better


@pytest.mark.parametrize(
  ("schedule", "end"),
  [
    (kernels.Warmup(kernels.Cosine(0.1, 90), 10), 10),
    (kernels.WarmupCosine(0.1, 7, 90), 7),
    (kernels.WarmupStableDecay(0.1, 7, 50, 9), 7),
    (kernels.OneCycle(0.1, 100), 29),
    (kernels.OneCycle.preset("ktrain", 0.1, 100), 50),
    (kernels.Scaled(kernels.OneCycle(0.1, 100), 0.5), 29),
    (kernels.Warmup(kernels.OneCycle(0.1, 100), 10), 39),
    (kernels.Join([kernels.WarmupCosine(0.1, 7, 9)] * 2, [5]), 5),
    (kernels.Constant(0.1), 0),
    (kernels.CosineRestarts(0.1, 10), 0),
    (kernels.Triangular(0.01, 0.1, 10), 0),
  ],
)
def test_where_a_warmup_ends(schedule, end):
  assert schedule.warmup_end == end
  if end:
    rates = kernels.tabulate(schedule, end)[0]
    assert (np.diff(rates) > 0).all()


def test_a_peak_can_not_stop_a_run_judged_by_cycles():
  # Cycles of 2, 4 and 8 epochs; worse at each peak, better at each end.
  worse = [5, 3, 6, 6, 5, 2, 9, 9, 8, 8, 7, 6, 5, 1]
  schedule = kernels.CosineRestarts(0.1, 2 * STEPS, 2.0)
  options = {"schedule": schedule}
  by_epoch = Script(
    worse, early_stopping=trainloop.EarlyStopping(patience=2), **options
  )
  assert by_epoch.go(14).stop_reason == "early_stopping"
  by_cycle = Script(
    worse,
    early_stopping=trainloop.EarlyStopping(patience=2, unit="cycle"),
    **options,
  )
  assert by_cycle.go(14).stop_reason == "completed"
  assert by_cycle.best["epoch"] == 14
  patient = Script(
    [5, 3, 6, 6, 5, 4, 9, 9, 8, 8, 7, 6, 5, 4],
    early_stopping=trainloop.EarlyStopping(patience=2, unit="cycle"),
    **options,
  )
  assert patient.go(15).stop_reason == "early_stopping"
  assert len(patient.seen) == 14 and patient.best["epoch"] == 2


def test_cycles_that_end_inside_an_epoch_are_validated_there():
  loop = Script(
    range(100, 0, -1),
    schedule=kernels.Triangular(0.01, 0.1, 5, 4),
    early_stopping=trainloop.EarlyStopping(patience=1, unit="cycle"),
    steps_per_loop=100,
  )
  history = loop.go(3)
  # Cycles end at 9, 18, 27, 36; epochs at 12, 24, 36.
  assert len(loop.seen) == 6 and history.stop_reason == "completed"
  assert loop.best["step"] == 35
  assert len(history.rows["step"]) == 36


@pytest.mark.parametrize(
  "judging",
  [
    {"early_stopping": trainloop.EarlyStopping(unit="cycle")},
    {"early_stopping": trainloop.EarlyStopping(restore="cycle_end")},
    {"reduce_on_plateau": trainloop.ReduceOnPlateau(unit="cycle")},
  ],
)
def test_a_schedule_without_cycles_is_refused(tmp_path, judging):
  workdir = tmp_path / "run"
  for schedule in (kernels.Constant(0.1), kernels.CosineRestarts(0.1, 37)):
    loop = small.loop(
      schedule=schedule, workdir=workdir, **judging, compile="graph"
    )
    with pytest.raises(ValueError, match="`schedule` must be one of which a"):
      loop.fit(small.data(), 3, validation=small.data(16, 16))
  assert not workdir.exists()


def test_the_weights_at_the_last_finished_cycles_end():
  loop = Script(
    [5, 4, 3, 2, 1],
    schedule=kernels.CosineRestarts(0.1, 2 * STEPS),
    early_stopping=trainloop.EarlyStopping(restore="cycle_end"),
  )
  assert loop.go(5).stop_reason == "completed"
  assert small.digest(loop.model.weights) != loop.seen[4]
  whole = Script([5, 4, 3, 2], schedule=kernels.CosineRestarts(0.1, 2 * STEPS))
  whole.go(4)
  mine = [w.numpy() for w in loop.model.weights]
  assert small.digest(mine) == small.digest(whole.model.weights)


def test_everything_of_the_best_step_comes_back():
  def run(restore, epochs=4):
    loop = Script(
      [5, 3, 4, 4],
      optimizer=keras.optimizers.Adam(),
      schedule=kernels.OneCycle(0.01, 48),
      early_stopping=trainloop.EarlyStopping(patience=9, restore=restore),
    )
    assert loop.go(epochs).stop_reason == "completed"
    return loop

  loop, plain = run("all"), run("weights")
  assert small.state_of(loop) == loop.seen[1]
  assert int(loop.optimizer.iterations.numpy()) == 24
  assert loop.global_step == 48
  weights = [w.numpy() for w in loop.model.weights]
  assert small.digest(weights) == small.digest(plain.model.weights)
  assert int(plain.optimizer.iterations.numpy()) == 48


def test_a_cut_puts_the_best_weights_back_first():
  def run(first):
    loop = Script(
      [5, 3, 4, 4, 2],
      schedule=kernels.Constant(0.1),
      reduce_on_plateau=trainloop.ReduceOnPlateau(
        patience=2, factor=0.5, restore_best_first=first
      ),
    )
    weights, plain = {}, Judge.verdict

    def spy(judge, values, step, epoch, **flags):
      before = small.digest(loop.model.weights)
      stop = plain(judge, values, step, epoch, **flags)
      weights[epoch] = before, small.digest(loop.model.weights)
      return stop

    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(Judge, "verdict", spy)
      rates = loop.go(5).rows["learning_rate"]
    np.testing.assert_allclose(rates[::STEPS], [0.1] * 4 + [0.05])
    return weights

  back, left = run(True), run(False)
  assert back[4][1] == back[2][0] != back[4][0]
  assert left[4][1] == left[4][0]


@pytest.mark.parametrize(
  "schedule",
  [
    kernels.OneCycle(0.1, 6 * STEPS),
    kernels.Triangular(0.01, 0.1, STEPS // 2),
    kernels.CosineRestarts(0.1, STEPS, floor_lr=0.01),
  ],
  ids=lambda schedule: type(schedule).__name__,
)
def test_the_scale_shrinks_base_and_peak_and_is_logged(tmp_path, schedule):
  values = [3, 6, 7, 7, 2, 1]
  loop = Script(
    values,
    schedule=schedule,
    workdir=tmp_path / "run",
    reduce_on_plateau=trainloop.ReduceOnPlateau(
      patience=2, factor=0.5, unit="epoch"
    ),
  )
  rates = loop.go(6).rows["learning_rate"]
  plan = kernels.tabulate(schedule, 6 * STEPS)[0]
  # 1cycle rises in the first 1.8 epochs, and nothing is counted before.
  cut = 48 if isinstance(schedule, kernels.OneCycle) else 36
  want = np.where(np.arange(72) < cut, 1, 0.5).astype(np.float32) * plan
  assert rates.tobytes() == want.tobytes()
  tag = "hyperparameters/plateau_scale"
  steps, scales = workdirs.scalars(tmp_path / "run" / "train")[tag]
  want = sorted([11, 23, 35, 47, 59, 71, cut])
  assert steps == want
  assert scales.tolist() == [1 if step < cut else 0.5 for step in want]


def test_a_plateau_cut_at_a_cycles_end_only():
  loop = Script(
    [5, 9, 9, 9, 9, 6, 6, 6, 6],
    schedule=kernels.CosineRestarts(0.1, 3 * STEPS),
    reduce_on_plateau=trainloop.ReduceOnPlateau(
      patience=1, factor=0.5, unit="cycle"
    ),
  )
  # Ends: 9 (best), 6 (better), 6 (not): the cut comes after the run.
  assert loop.go(9).stop_reason == "completed"
  assert float(loop.trainee.state.judge.scale.numpy()) == 0.5
  assert loop.history.rows["learning_rate"][72] == np.float32(0.1)


def test_a_new_schedule_starts_at_scale_1():
  loop = Script(
    [5, 6, 6, 6, 6, 6],
    schedule=kernels.Constant(0.1),
    reduce_on_plateau=trainloop.ReduceOnPlateau(patience=1, factor=0.5),
  )
  assert loop.go(2).rows["learning_rate"][-1] == np.float32(0.1)
  assert loop.go(1).rows["learning_rate"][-1] == np.float32(0.05)
  again = loop.go(1, schedule=kernels.Constant(0.3))
  assert again.rows["learning_rate"][-1] == np.float32(0.3)
  assert again.rows["step"].tolist() == list(range(36, 48))


def test_a_judged_run_that_was_cut_off_is_the_run_that_was_not(tmp_path):
  def make(workdir):
    return small.loop(
      small.model(rich=True),
      workdir=workdir,
      schedule=kernels.CosineRestarts(0.05, 9),
      early_stopping=trainloop.EarlyStopping(
        patience=3, unit="cycle", restore="all"
      ),
      reduce_on_plateau=trainloop.ReduceOnPlateau(
        patience=1, factor=0.5, unit="cycle", restore_best_first=True
      ),
      checkpoint_every="5st",
      compile="graph",
    )

  whole = make(tmp_path / "whole")
  want = resumable.fit(whole)
  cut = make(tmp_path / "cut")
  interruption.cut_before(8, lambda: resumable.fit(cut))
  again = make(tmp_path / "cut")
  found = resumable.fit(again)
  assert again.resumed_from and found.stop_reason == want.stop_reason
  assert small.state_of(again) == small.state_of(whole)
  assert workdirs.series(tmp_path / "cut") == workdirs.series(
    tmp_path / "whole"
  )


@pytest.mark.parametrize(
  ("kind", "options", "name"),
  [
    (trainloop.EarlyStopping, {"target": NAN}, "target"),
    (trainloop.EarlyStopping, {"divergence": "4"}, "divergence"),
    (trainloop.EarlyStopping, {"restore": "best"}, "restore"),
    (
      trainloop.EarlyStopping,
      {"restore": "all", "restore_best_weights": False},
      "restore",
    ),
    (trainloop.ReduceOnPlateau, {"unit": "step"}, "unit"),
  ],
)
def test_bad_options(kind, options, name):
  with pytest.raises(ValueError, match=f"`{name}` must be"):
    kind(**options)


def test_a_judges_copies_are_in_the_checkpoint_once():
  loop = small.loop(
    early_stopping=trainloop.EarlyStopping(restore="all"), compile="graph"
  )
  loop.fit(small.data(), 1, validation=small.data(16, 16))
  names = [id(v) for v in loop.trainee.state.variables]
  assert len(set(names)) == len(names)
  mine = {id(w.value) for w in loop.model.weights}
  assert not mine & set(names)
  judge = loop.trainee.state.judge
  (kept,) = (m for m in judge.submodules if isinstance(m, KeptWeights))
  copies = kept.copies
  assert {id(c) for c in copies} <= set(names)
  assert all(isinstance(c, tf.Variable) for c in copies)
