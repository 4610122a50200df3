"""What has no effect, or another one than is meant: a line before step 1."""

import keras
import pytest

import kernels
import trainloop
from support import small

K, Group = keras.optimizers, trainloop.Group
STEPS = 24  # 12 an epoch
BIAS = "dense.*/bias"


def told(capsys, optimizer, fit=(), **options):
  """The lines of warning of a loop's two fits of two epochs, a list each."""
  options = {"schedule": kernels.Constant(0.01), **options}
  loop, found = small.loop(optimizer=optimizer, compile="graph", **options), []
  for schedule in (None, options["schedule"]):
    loop.fit(small.data(), 2, schedule=schedule, **dict(fit))
    lines = capsys.readouterr().out.splitlines()
    found.append([line for line in lines if line.startswith("warning: ")])
  return found


def spared():
  optimizer = K.AdamW(0.01, weight_decay=0.1)
  optimizer.exclude_from_weight_decay(var_names=["bias"])
  return optimizer


ODD = {
  "a factor 0 where nothing decays": (
    lambda: K.SGD(0.1),
    {"groups": {BIAS: Group(weight_decay=0)}},
    "groups['dense.*/bias']: its weight_decay has no effect: SGD has no weight "
    "decay for it to multiply; give one as SGD(weight_decay=0.01) or in `sche",
  ),
  "a factor where the decay is 0": (
    lambda: K.AdamW(0.1, weight_decay=0.0),
    {"groups": {BIAS: Group(weight_decay=2)}},
    "its weight_decay has no effect: AdamW has no weight decay",
  ),
  "a factor on what is spared": (
    spared,
    {"groups": {BIAS: Group(weight_decay=0)}},
    "its weight_decay has no effect: `exclude_from_weight_decay` spares",
  ),
  "a factor on what is frozen": (
    lambda: K.AdamW(0.1),
    {"groups": {BIAS: Group(lr=0, weight_decay=2)}},
    "its weight_decay has no effect beside lr=0",
  ),
  "a phase of what groups freeze": (
    lambda: K.SGD(0.1),
    {"groups": {BIAS: Group(lr=0)}, "fit": {"trainable": "dense.*"}},
    "/bias, which groups with lr=0 freeze: left as it is",
  ),
  "one cycle": (
    lambda: K.SGD(0.1),
    {
      "average": trainloop.CycleAverage(),
      "schedule": kernels.Cosine(0.1, STEPS),
    },
    "`average`: one cycle ends in this fit, so the average is the weights",
  ),
  "an average of decay 0": (
    lambda: K.SGD(0.1),
    {"average": trainloop.EMA(0.0)},
    "`average`: with decay 0 it is the weights themselves",
  ),
  "an average that is too slow": (
    lambda: K.SGD(0.1),
    {"average": trainloop.EMA(0.999, warmup=False)},
    "`average`: after 24 updates 98% of it is the weights before training",
  ),
  "Ftrl under a falling rate": (
    lambda: K.Ftrl(0.1),
    {"schedule": kernels.Linear(0.1, 0.01, STEPS - 1)},
    "where this one falls, by 10 in all, they shrink as much",
  ),
  "Adafactor above its bound": (
    lambda: K.Adafactor(0.1, relative_step=False),
    {"schedule": kernels.Constant(0.25)},
    "in update 23 of this fit 0.204 instead of 0.25",
  ),
  "Muon without a weight of its own": (
    lambda: K.Muon(0.1, exclude_layers=["dense"]),
    {"schedules": {"momentum": kernels.Linear(0.8, 0.9, STEPS)}},
    "the schedule's momentum has no effect: Muon trains all weights by AdamW",
  ),
  "Muon's two decays": (
    lambda: K.Muon(0.1),
    {"schedules": {"weight_decay": 0.1}},
    "those trained by AdamW keep adam_weight_decay=0.004",
  ),
}


@pytest.mark.parametrize("case", ODD)
def test_a_line_says_what_has_no_effect_once(case, capsys):
  make, options, match = ODD[case]
  (line,), again = told(capsys, make(), **options)
  assert match in line and line not in again


FINE = {
  "a factor on a decay": (
    lambda: K.AdamW(0.1),
    {"groups": {BIAS: Group(weight_decay=0)}},
  ),
  "a factor on a kernel's decay": (
    lambda: K.SGD(0.1),
    {
      "groups": {BIAS: Group(weight_decay=0)},
      "schedules": {"weight_decay": 0.1},
    },
  ),
  "a frozen group": (
    lambda: K.SGD(0.1),
    {"groups": {BIAS: Group(lr=0, weight_decay=0)}},
  ),
  "a phase": (lambda: K.SGD(0.1), {"fit": {"trainable": BIAS}}),
  "two cycles": (
    lambda: K.SGD(0.1),
    {
      "average": trainloop.CycleAverage(),
      "schedule": kernels.CosineRestarts(0.1, 12),
    },
  ),
  "an average": (lambda: K.SGD(0.1), {"average": trainloop.EMA(0.9999)}),
  "Ftrl at one rate": (lambda: K.Ftrl(0.1), {}),
  "Adafactor below its bound": (lambda: K.Adafactor(0.1), {}),
  "Muon": (
    lambda: K.Muon(0.1),
    {"schedules": {"momentum": kernels.Linear(0.8, 0.9, STEPS)}},
  ),
}


@pytest.mark.parametrize("case", FINE)
def test_what_has_its_effect_warns_of_nothing(case, capsys):
  make, options = FINE[case]
  assert told(capsys, make(), **options) == [[], []]
