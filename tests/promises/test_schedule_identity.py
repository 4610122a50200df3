"""A fit's schedule is known again by its values where its config can't say."""

import numpy as np
import pytest

import kernels
from support import schedule_kinds, small

MADE = schedule_kinds.MADE


def make(workdir):
  return small.loop(workdir=workdir, compile="graph")


@pytest.mark.parametrize("name", MADE)
def test_two_schedules_of_one_class(name, tmp_path):
  first, second = 0.25, 0.75
  loop = make(tmp_path)
  for value in (first, second):
    history = loop.fit(small.data(), 1, schedule=MADE[name](value))
    want = [MADE[name](value)(t).learning_rate for t in range(12)]
    np.testing.assert_allclose(
      history.rows["learning_rate"], want, rtol=1e-6, err_msg=str(value)
    )
  again = make(tmp_path)
  for value in (first, second):
    again.fit(small.data(), 1, schedule=MADE[name](value))
  assert again.traces == 0 and again.global_step == 24
  with pytest.raises(ValueError, match=r"`schedule\.\w+` must be") as refused:
    make(tmp_path).fit(small.data(), 1, schedule=MADE[name](second))
  assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
  ("schedule", "names"),
  [
    (kernels.Constant(0.1), []),
    (kernels.Join([kernels.Linear(0.1, 0.0, 4), kernels.Constant(0)], [4]), []),
    (
      kernels.from_keras(schedule_kinds.K.CosineDecayRestarts(0.3, 10, 1.5)),
      [],
    ),
    (MADE["joined"](0.1), ["Plain", "Plain"]),
    (MADE["keras_silent"](0.1), ["Silent"]),
    (MADE["wrapper_subclass"](0.1), ["Halved"]),
    (MADE["through_keras"](0.1), ["More"]),
    (kernels.Scaled(MADE["keras_subclass"](0.1), 0.5), ["Longer"]),
  ],
)
def test_whose_values_no_config_tells(schedule, names):
  assert schedule.foreign == names
