"""A workdir that holds a run: begin anew, overwrite, or go on otherwise."""

import re

import numpy as np
import pytest

import kernels
from support import small, workdirs

OLD, NEW = kernels.OneCycle(0.05, 24), kernels.Cosine(0.02, 36)


def make(workdir, schedule=OLD, existing="continue", **options):
  return small.loop(
    workdir=workdir,
    schedule=schedule,
    existing=existing,
    compile="graph",
    steps_per_loop=5,
    checkpoint_every="5st",
    **options,
  )


def stopped(workdir, step):
  """A run that was stopped after some step."""
  loop = make(workdir)
  tell = loop._progress.window

  def stop(epoch, now, row):
    tell(epoch, now, row)
    if now >= step:
      loop.stop()

  loop._progress.window = stop
  assert loop.fit(small.data(), 2).stop_reason == "preempted"
  return loop


def test_a_run_is_not_begun_anew_where_one_is(tmp_path):
  stopped(tmp_path, 10)
  before = workdirs.files(tmp_path)
  with pytest.raises(ValueError, match="`workdir` must be a folder without a"):
    make(tmp_path, existing="refuse").fit(small.data(), 2)
  assert workdirs.files(tmp_path) == before


def test_it_is_begun_in_an_empty_folder(tmp_path):
  loop = make(tmp_path, existing="refuse")
  loop.fit(small.data(), 1)
  assert loop.fit(small.data(), 1).rows["step"][0] == 12


def test_overwrite_leaves_nothing_of_the_run_that_was(tmp_path):
  stopped(tmp_path / "a", 10)
  (tmp_path / "a" / "result.json").write_text("old")
  (tmp_path / "a" / "notes.txt").write_text("mine")
  for name in ("a", "b"):
    loop = make(tmp_path / name, NEW, existing="overwrite")
    loop.fit(small.data(), 1)
    loop.fit(small.data(), 1)
  assert loop.resumed_from == []
  found, want = (
    workdirs.scalars(tmp_path / name / "train") for name in ("a", "b")
  )
  assert found["loss"][0] == want["loss"][0] == list(range(24))
  assert found["loss"][1].tobytes() == want["loss"][1].tobytes()
  assert not (tmp_path / "a" / "result.json").exists()
  assert (tmp_path / "a" / "notes.txt").read_text() == "mine"


def test_histograms_may_come_and_go(tmp_path):
  whole = make(tmp_path / "whole")
  whole.fit(small.data(), 2)
  step = stopped(tmp_path / "cut", 10).global_step
  loop = make(tmp_path / "cut", histograms_every="1ep")
  loop.fit(small.data(), 2)
  assert loop.resumed_from == [step]
  assert small.state_of(loop) == small.state_of(whole)
  assert make(tmp_path / "cut").fit(small.data(), 2).restored


def test_replan_follows_the_new_curve_from_there(tmp_path):
  before = stopped(tmp_path, 10)
  step = before.global_step
  with pytest.raises(ValueError, match=r"`epochs` must be 2, .* or replan\)"):
    make(tmp_path).fit(small.data(), 3)
  with pytest.raises(ValueError, match=r"`schedule` must be .*OneCycle.* got"):
    make(tmp_path, NEW).fit(small.data(), 2)
  loop = make(tmp_path, NEW, existing="replan")
  rows = loop.fit(small.data(), 3).rows
  assert rows["step"].tolist() == list(range(36))
  want = [kernels.tabulate(s, 36)[0] for s in (OLD, NEW)]
  want = np.concatenate([want[0][:step], want[1][step:]])
  assert rows["learning_rate"].tobytes() == want.tobytes()
  assert loop.resumed_from == [step]
  plan = workdirs.scalars(tmp_path / f"plan_from_{step}")
  steps, rates = plan["hyperparameters/learning_rate"]
  assert steps == list(range(step, 36))
  assert rates.tobytes() == want[step:].tobytes()
  # The same command without the flag is now this plan's.
  assert make(tmp_path, NEW).fit(small.data(), 3).restored


def test_replan_is_recorded(tmp_path):
  stopped(tmp_path, 10)
  loop = make(tmp_path, NEW, existing="replan")
  loop.fit(small.data(), 3)
  (event,) = workdirs.accumulator(tmp_path / "train").Tensors("events/replan")
  told = event.tensor_proto.string_val[0].decode()
  assert re.fullmatch(
    r"replanned from step \d+: epochs: 2 -> 3; schedule: .*0\.05.*0\.02.*", told
  )
  assert loop._fits.records._store.log.replans == [told]


def test_replan_makes_a_finished_run_longer(tmp_path):
  make(tmp_path).fit(small.data(), 1)
  longer = make(tmp_path, existing="replan").fit(small.data(), 2)
  assert longer.rows["step"].tolist() == list(range(24))
  whole = make(tmp_path / "whole")
  whole.fit(small.data(), 2)
  assert longer.rows["loss"].tobytes() == whole.history.rows["loss"].tobytes()
  shorter = make(tmp_path, existing="replan")
  with pytest.raises(ValueError, match="`epochs` must be at least 2, because"):
    shorter.fit(small.data(), 1)


def test_replan_changes_nothing_else(tmp_path):
  stopped(tmp_path, 10)
  with pytest.raises(ValueError, match="`batch_size` must be 8"):
    make(tmp_path, existing="replan").fit(small.data(batch_size=4), 2)
  with pytest.raises(ValueError, match="`schedule` must be a schedule of at"):
    make(tmp_path, existing="replan").fit(small.data(), 3)
  again = make(tmp_path)
  assert again.fit(small.data(), 2).rows["step"].tolist() == list(range(24))


def test_another_programs_events_are_left_alone(tmp_path):
  (tmp_path / "train").mkdir()
  (tmp_path / "train" / "events.out.tfevents.1").write_text("theirs")
  with pytest.raises(ValueError, match="without another program's events"):
    make(tmp_path).fit(small.data(), 1)
  assert (tmp_path / "train" / "events.out.tfevents.1").read_text() == "theirs"


def test_an_unknown_choice_is_refused(tmp_path):
  with pytest.raises(ValueError, match="`existing` must be one of continue"):
    make(tmp_path, existing="hope")


def test_a_finished_run_is_replanned_to_where_it_is(tmp_path):
  def fit(schedule, existing):
    loop = small.loop(
      workdir=tmp_path / "run", schedule=schedule, existing=existing
    )
    return loop.fit(small.data(), 1)

  fit(kernels.Constant(0.1), "continue")
  history = fit(kernels.Linear(0.1, 0.0, 12), "replan")
  assert history.stop_reason == "completed"
  np.testing.assert_array_equal(history.rows["learning_rate"], np.float32(0.1))
