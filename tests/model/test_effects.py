"""What an optimizer would not do with what it is given is refused."""

import keras
import numpy as np
import pytest

import kernels
import trainloop
from support import small

K, Group = keras.optimizers, trainloop.Group
RISING = kernels.Linear(0.0, 1.0, 9)


def net(dtype="float32"):
  keras.utils.set_random_seed(0)
  layers = [keras.layers.Input((8,)), keras.layers.Dense(3, dtype=dtype)]
  return lambda: keras.Sequential(layers)


def spared():
  optimizer = K.AdamW(0.01, weight_decay=0.1)
  optimizer.exclude_from_weight_decay(var_names=["kernel", "bias"])
  return optimizer


def decayed(factor):
  return {"groups": {".*bias": Group(weight_decay=factor)}}


MOVED = {"schedules": {"weight_decay": RISING}}
TABLE = {"schedule": kernels.Linear(0.1, 0.0, 9)}
BAD = {
  "no decay": (
    lambda: K.SGD(0.1),
    decayed(2.0),
    "`groups['.*bias'].weight_decay` must be left out: SGD has no weight decay "
    "for it to multiply; give one as SGD(weight_decay=0.01) or in `schedules`; "
    "got 2.0",
  ),
  "no decay for a kernel": (
    lambda: K.Adam(0.1),
    decayed(RISING),
    "Adam has no",
  ),
  "spared": (
    spared,
    decayed(0.5),
    "must be left out: `exclude_from_weight_decay` spares ",
  ),
  "all spared": (
    spared,
    MOVED,
    "`schedules['weight_decay']` must be left out: `exclude_from_weight_decay` "
    "spares all weights",
  ),
  "Ftrl at rate 0": (
    lambda: K.Ftrl(0.1),
    TABLE,
    "`schedule` must give learning rates > 0 (Ftrl divides by them, and "
    "weights become NaN) at every step; got 0 at its step 9",
  ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_can_hardly_be_meant_is_refused_in_a_line(case, tmp_path):
  make, options, text = BAD[case]
  options = {"schedule": kernels.Constant(0.1), **options}
  loop = small.loop(net(), make(), workdir=tmp_path / "run", **options)
  with pytest.raises(ValueError) as error:
    loop.fit(small.data(), 1)
  assert text in str(error.value) and "\n" not in str(error.value)
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
  ("kind", "dtype", "text"),
  [
    ("Muon", "float64", "which is float64: Muon's step is float32's alone"),
    ("Muon", "bfloat16", "which is bfloat16: Muon's step is float32's alone"),
    ("Adam", "bfloat16", "a beta_2 that is below 1 in bfloat16, the type of"),
    ("Nadam", "bfloat16", 'or take mixed_precision="bfloat16"'),
  ],
)
def test_weights_of_a_type_that_a_formula_has_not(kind, dtype, text):
  loop = small.loop(net(dtype), getattr(K, kind)(0.1), compile="graph")
  with pytest.raises(ValueError) as error:
    loop.fit(small.data(), 1)
  assert text in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("options", [{"beta_2": 0.99}, {}])
def test_weights_that_adam_can_move(options):
  moved = {} if options else {"schedules": {"beta_2": 0.99}}
  make = net("bfloat16")
  before = np.float32(make().get_weights()[0])
  loop = small.loop(make, K.Adam(0.1, **options), compile="graph", **moved)
  loop.fit(small.data(), 1)
  assert np.abs(np.float32(loop.model.get_weights()[0]) - before).max() > 0.01


def test_a_groups_factor_reaches_the_decay_of_muons_adam():
  """A bias is trained by AdamW there, with a decay of its own."""
  ends = []
  for decay, factor in ((0.5, 0.5), (0.25, 1.0), (0.5, 1.0)):
    optimizer = K.Muon(0.1, weight_decay=0.0, adam_weight_decay=decay)
    loop = small.loop(
      net(), optimizer, schedule=kernels.Constant(0.1), **decayed(factor)
    )
    loop.fit(small.data(shuffle=False), 1)
    ends.append(loop.model.get_weights()[1])
  assert ends[0].tobytes() == ends[1].tobytes() != ends[2].tobytes()
