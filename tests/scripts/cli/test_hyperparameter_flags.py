"""--..._schedule, --group and --layer_decay, through train.py."""

import numpy as np
import pytest

from support import commands, workdirs

BAD = {
  "--weight_decay_schedule=cosine": "cosine:FIRST:LAST",
  "--beta_2_schedule=linear:a:b": "linear:FIRST:LAST",
  "--group=dense": "PATTERN:lr=FACTOR,wd=FACTOR",
  "--group=dense:lr=-1": (
    "--group=['dense:lr=-1']: must have factors that are finite and >= 0; got "
    "-1 in 'dense:lr=-1'"
  ),
  "--group=dense:lr=1,wd=nan": "finite and >= 0; got nan in",
  "--weight_decay_schedule=cosine:-0.1:0.4": (
    "must have values that are finite and >= 0; got -0.1 in 'cosine:-0.1:0.4'"
  ),
  "--weight_decay_schedule=constant:nan": "finite and >= 0; got nan in",
  "--weight_decay_schedule=linear:0:inf": "finite and >= 0; got inf in",
  "--weight_decay_schedule=linear:0:1e999": "finite and >= 0; got 1e999 in",
  "--momentum_schedule=linear:0.9:1": "in [0, 1); got 1 in",
  "--rho_schedule=constant:1.5": "in [0, 1); got 1.5 in",
  "--clipvalue_schedule=constant:0": "finite and > 0; got 0 in",
  "--clip_norm=2 --clipnorm_schedule=constant:1": (
    "--clip_norm and --clipnorm_schedule both clip: leave one of them out"
  ),
  "--clipvalue_schedule=constant:1 --clipnorm_schedule=constant:1": (
    "--clipnorm_schedule and --clipvalue_schedule both clip"
  ),
  "--momentum=0.5 --schedule=constant --momentum_schedule=constant:0.9": (
    "--momentum has no effect: --momentum_schedule moves it"
  ),
  "--momentum_schedule=constant:0.9": (
    "--momentum_schedule has no effect: --schedule=one_cycle moves momentum by "
    "itself; take --momentum_range=LOW,HIGH, or a --schedule that leaves it"
  ),
  "--rho_schedule=constant:0.9": (
    "`--rho_schedule` must be one of momentum, weight_decay, clipnorm, global"
  ),
  "--group=a:lr=1,lr=2": "PATTERN:lr=FACTOR,wd=FACTOR",
  "--group=a:lr=1 --group=a:lr=2": "different patterns",
  "--layer_decay=2": "> 0 and <= 1",
  "--layer_decay=0.5 --group=a:lr=1": "no --group",
}


@pytest.mark.parametrize("flags", BAD)
def test_a_bad_flag_is_refused_in_a_line(flags, tmp_path):
  done = commands.forked(*flags.split(), cwd=tmp_path)
  assert done.returncode == 2
  (line,) = commands.error_lines(done)
  assert BAD[flags] in line


def test_rho_and_clipvalue_reach_rows_and_plan(tmp_path):
  done = commands.forked(
    "--epochs=1",
    "--optimizer=rmsprop",
    "--schedule=constant",
    "--rho_schedule=linear:0.8:0.9",
    "--clipvalue_schedule=constant:0.5",
    "--workdir=run",
    cwd=tmp_path,
  )
  assert done.returncode == 0, done.stderr
  scalars = workdirs.scalars(tmp_path / "run" / "train")
  _, rho = scalars["hyperparameters/rho"]
  assert rho[0] == np.float32(0.8) and rho[-1] > 0.89
  assert (scalars["hyperparameters/clipvalue"][1] == 0.5).all()
  plan = workdirs.scalars(tmp_path / "run" / "plan")
  np.testing.assert_array_equal(plan["hyperparameters/rho"][1], rho)


def test_flags_reach_rows_and_events(tmp_path):
  done = commands.forked(
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
