"""Back to an epoch whose checkpoint was kept."""

import keras
import numpy as np
import pytest

import kernels
import trainloop
from support import small


def make(workdir, **options):
  return small.loop(
    small.model(rich=True),
    keras.optimizers.Adam(),
    workdir=workdir,
    schedule=kernels.Constant(0.01),
    bias_correction="exact",
    **{"keep": 9, **options},
  )


def test_weights_and_slots_of_an_epoch_come_back(tmp_path):
  loop, seen = make(tmp_path), {}
  plain = loop.programs.evaluate

  def evaluate(source, empty):
    seen[len(seen) + 1] = small.state_of(loop)
    return plain(source, empty)

  loop.programs.evaluate = evaluate
  loop.fit(small.data(), 4, validation=small.data(16, 16))
  for epoch in (2, 1, 3, 4):
    loop.restore_epoch(epoch)
    assert small.state_of(loop) == seen[epoch]
  assert loop.global_step == 48
  loop.restore_epoch(2)
  rows = loop.fit(small.data(), 1).rows
  assert rows["step"].tolist() == list(range(48, 60))
  assert int(loop.optimizer.iterations.numpy()) == 24 + 12
  again = make(tmp_path)
  again.fit(small.data(), 4, validation=small.data(16, 16))
  again.restore_epoch(2)  # the run went on: nothing is changed
  assert again.fit(small.data(), 1).restored
  assert small.state_of(again) == small.state_of(loop)


def test_only_epochs_that_were_kept(tmp_path):
  loop = make(tmp_path, keep=2, checkpoint_every="6st")
  with pytest.raises(ValueError, match="`epoch` must be asked for after a"):
    loop.restore_epoch(1)
  loop.fit(small.data(), 3)
  before = small.state_of(loop)
  for epoch in (1, 2, 7):
    with pytest.raises(ValueError, match=r"was kept: \[3\]; got"):
      loop.restore_epoch(epoch)
  with pytest.raises(ValueError, match="`epoch` must be an integer >= 1"):
    loop.restore_epoch(0)
  assert small.state_of(loop) == before
  bare = small.loop()
  bare.fit(small.data(), 1)
  with pytest.raises(ValueError, match="`epoch` must be of a loop with a work"):
    bare.restore_epoch(1)


def test_the_last_epoch_holds_what_the_fit_ended_with(tmp_path):
  loop = make(
    tmp_path, early_stopping=trainloop.EarlyStopping(patience=9), keep=5
  )
  loop.fit(small.data(), 3, validation=small.data(16, 16))
  ended = [w.numpy() for w in loop.model.weights]
  loop.restore_epoch(1)
  loop.restore_epoch(3)
  for weight, want in zip(loop.model.weights, ended, strict=True):
    np.testing.assert_array_equal(weight.numpy(), want)
