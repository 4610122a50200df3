"""Callables at windows' and epochs' ends: what they are told, what they can't
break."""

import numpy as np
import pytest

import trainloop
from support import small

_VALID = {"validation": small.data(16, 16)}


def make(**options):
  return small.loop(
    small.model(rich=True), steps_per_loop=5, **options, compile="graph"
  )


@pytest.fixture(scope="module")
def plain():
  """(rows, epochs, states at epochs' ends) without any action; a fit an epoch
  is the fit of them all, as no bit depends on windows."""
  loop, states, fits = make(), [], []
  for _ in range(3):
    fits.append(loop.fit(small.data(), 1, **_VALID))
    states.append(small.state_of(loop))
  rows, epochs = (
    {
      name: np.concatenate([getattr(fit, part)[name] for fit in fits])
      for name in getattr(fits[0], part)
    }
    for part in ("rows", "epochs")
  )
  return rows, epochs, states


def test_they_are_told_what_happened_and_change_nothing(plain):
  windows, epochs, states = [], [], []

  def on_epoch(told):
    epochs.append(told)
    states.append(small.state_of(loop))
    # Reading may use the model's metrics and its forward pass.
    x, y = small.arrays(8)
    loop.model.evaluate(x, y, verbose=0)
    loop.evaluate(small.data(16, 16))

  loop = make(on_window=windows.append, on_epoch=on_epoch)
  history = loop.fit(small.data(), 3, **_VALID)
  rows, wanted, ends = plain
  assert (small.state_of(loop), states) == (ends[-1], ends)
  for name, column in rows.items():
    assert history.rows[name].tobytes() == column.tobytes(), name
  for i, told in enumerate(epochs):
    assert (told.pop("epoch"), told.pop("step")) == (i + 1, 12 * (i + 1))
    assert told == {
      name: column[i] for name, column in wanted.items() if name != "epoch"
    }
  assert [told["steps"] for told in windows] == [5, 5, 2] * 3
  assert [told["step"] for told in windows] == [5, 10, 12, 17, 22, 24, 29,
                                                34, 36]  # fmt: skip
  assert [told["epoch"] for told in windows] == [1] * 3 + [2] * 3 + [3] * 3
  for told in windows:
    for name in ("learning_rate", "momentum", "loss", "grad_norm", "skipped"):
      assert told[name] == rows[name][told["step"] - 1]


def test_windows_end_at_epochs_only_where_somebody_asks():
  windows, epochs = [], []
  loop = small.loop(
    steps_per_loop=30, on_window=windows.append, compile="graph"
  )
  loop.fit(small.data(), 3)
  assert [told["steps"] for told in windows] == [30, 6]
  windows.clear()
  loop = small.loop(
    steps_per_loop=30,
    on_window=windows.append,
    on_epoch=epochs.append,
    compile="graph",
  )
  loop.fit(small.data(), 3)
  assert [told["steps"] for told in windows] == [12, 12, 12]
  assert [told["epoch"] for told in epochs] == [1, 2, 3]


@pytest.mark.parametrize("name", ["on_window", "on_epoch"])
def test_one_that_raises_loses_nothing(name, plain, tmp_path):
  told = []

  def fragile(values):
    told.append(values["step"])
    if values["step"] == 24 and len(told) == told.index(24) + 1:
      raise RuntimeError("the file of mine is gone")

  def fit():
    loop = make(workdir=tmp_path, checkpoint_every="7st", **{name: fragile})
    try:
      loop.fit(small.data(), 3, **_VALID)
    finally:
      assert loop.history.stop_reason in ("preempted", "completed")
    return loop

  with pytest.raises(RuntimeError, match="the file of mine is gone"):
    fit()
  seen = list(told)
  loop = fit()
  # What it was told before it raised does not come again.
  later = [step for step in told[len(seen) :] if step <= 24]
  assert seen[-1] == 24 and not later and told[-1] == 36
  assert loop.resumed_from == [24]
  rows, _, ends = plain
  assert small.state_of(loop) == ends[-1]
  for column, values in rows.items():
    assert loop.history.rows[column].tobytes() == values.tobytes()


def test_one_that_raises_at_the_very_end():
  def on_epoch(told):
    if told["epoch"] == 2:
      raise KeyboardInterrupt

  loop = small.loop(on_epoch=on_epoch, compile="graph")
  with pytest.raises(KeyboardInterrupt):
    loop.fit(small.data(), 2)
  assert loop.history.stop_reason == "completed"
  assert len(loop.history.rows["step"]) == 24
  assert np.isfinite(loop.fit(small.data(), 1).rows["loss"]).all()


def test_they_may_stop_the_loop():
  def on_epoch(told):
    if told["epoch"] == 2:
      loop.stop()

  loop = small.loop(on_epoch=on_epoch, compile="graph")
  history = loop.fit(small.data(), 5)
  assert history.stop_reason == "preempted"
  assert history.epochs["epoch"].tolist() == [1, 2]


@pytest.mark.parametrize("name", ["on_window", "on_epoch"])
def test_what_cannot_be_called_is_refused(name, tmp_path):
  with pytest.raises(ValueError, match=f"`{name}` must be a callable on a di"):
    trainloop.TrainLoop(
      small.model(), "sgd", "mse", workdir=tmp_path / "new", **{name: "print"}
    )
  assert not (tmp_path / "new").exists()
