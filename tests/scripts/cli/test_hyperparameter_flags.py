"""--..._schedule, --group and --layer_decay, through train.py."""

import numpy as np
import pytest

from support import commands, workdirs

BAD = {
  "--weight_decay_schedule=cosine": "cosine:FIRST:LAST",
  "--beta_2_schedule=linear:a:b": "linear:FIRST:LAST",
  "--group=dense": "PATTERN:lr=FACTOR,wd=FACTOR",
  "--group=dense:lr=-1": "PATTERN:lr=FACTOR,wd=FACTOR",
  "--group=a:lr=1,lr=2": "PATTERN:lr=FACTOR,wd=FACTOR",
  "--group=a:lr=1 --group=a:lr=2": "different patterns",
  "--layer_decay=2": "> 0 and <= 1",
  "--layer_decay=0.5 --group=a:lr=1": "no --group",
}


@pytest.mark.parametrize("flags", BAD)
def test_a_bad_flag_is_refused_in_a_line(flags, tmp_path):
  done = commands.train(*flags.split(), cwd=tmp_path)
  assert done.returncode == 2
  (line,) = commands.error_lines(done)
  assert BAD[flags] in line


def test_flags_reach_rows_and_events(tmp_path):
  done = commands.train(
    "--dataset=digits",
    "--epochs=1",
    "--optimizer=adamw",
    "--weight_decay_schedule=linear:0.5:0.1:50%",
    "--group=.*bias:lr=0.5,wd=0",
    "--workdir=run",
    cwd=tmp_path,
  )
  assert done.returncode == 0, done.stderr
  scalars = workdirs.scalars(tmp_path / "run" / "train")
  _, decay = scalars["hyperparameters/weight_decay"]
  assert decay[0] == 0.5 and abs(decay[-1] - 0.1) < 1e-6
  _, rates = scalars["hyperparameters/learning_rate"]
  _, biases = scalars["hyperparameters/learning_rate/.*bias"]
  np.testing.assert_array_equal(biases, rates * np.float32(0.5))
  plan = workdirs.scalars(tmp_path / "run" / "plan")
  np.testing.assert_array_equal(plan["hyperparameters/weight_decay"][1], decay)
