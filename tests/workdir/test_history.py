"""A fit's record leaves its process: pickled, copied."""

import copy
import pickle

import numpy as np
import pytest

import kernels
import trainloop
from support import small
from trainloop.workdir.history import NonFiniteError


@pytest.fixture(scope="module")
def history(tmp_path_factory):
  """Of a fit with a schedule that does not pickle itself."""

  class Own(kernels.Linear):
    """Of a function: pickle does not find it."""

  loop = small.loop(
    workdir=tmp_path_factory.mktemp("run"),
    schedule=Own(0.1, 0.01, 24),
    compile="graph",
  )
  return loop.fit(small.data(), 2, validation=small.data(8, seed=1))


@pytest.mark.parametrize(
  "again", [lambda one: pickle.loads(pickle.dumps(one)), copy.deepcopy]
)
def test_a_history_comes_back_whole(history, again):
  other = again(history)
  assert other.stop_reason == history.stop_reason == "completed"
  assert other.epochs.keys() == history.epochs.keys()
  for name, values in history.rows.items():
    assert other.rows[name].tobytes() == values.tobytes(), name
  for mine, theirs in zip(history.planned(), other.planned(), strict=True):
    np.testing.assert_array_equal(mine, theirs)


def test_an_error_comes_back_with_its_step():
  other = pickle.loads(pickle.dumps(NonFiniteError(7, "update 7")))
  assert (other.step, str(other)) == (7, "update 7")


@pytest.mark.parametrize("workdir", [False, True])
def test_a_fit_without_an_applied_update_is_not_completed(tmp_path, workdir):
  """And the same one again, which trains nothing, says so too."""

  def fit(scale):
    x, y = small.arrays()
    data = trainloop.ArrayData(x * np.float32(scale), y, batch_size=8)
    loop = small.loop(
      on_nonfinite="skip",
      workdir=tmp_path / "run" if workdir else None,
      compile="graph",
    )
    return loop.fit(data, 2)

  history = fit(5e37)
  assert history.rows["skipped"].all()
  assert history.stop_reason == "all_skipped"
  assert fit(5e37).stop_reason == "all_skipped"
