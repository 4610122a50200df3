"""Every bad argument: one line with field, value and rule."""

import pytest

import kernels
from kernels import (
  Combined,
  Constant,
  Cosine,
  CosineRestarts,
  Exponential,
  InverseSqrt,
  InverseTime,
  Join,
  Linear,
  OneCycle,
  PiecewiseConstant,
  Polynomial,
  Power,
  Product,
  RangeSweep,
  Scaled,
  StepDecay,
  Triangular,
  Warmup,
  WarmupCosine,
  WarmupStableDecay,
)

NAN, INF = float("nan"), float("inf")
BAD = [
  (Constant, {"learning_rate": -0.1}, "learning_rate"),
  (Constant, {"learning_rate": NAN}, "learning_rate"),
  (Constant, {"learning_rate": "0.1"}, "learning_rate"),
  (Constant, {"learning_rate": True}, "learning_rate"),
  (Constant, {"learning_rate": 0.1, "momentum": 1.0}, "momentum"),
  (Constant, {"learning_rate": 0.1, "momentum": -0.1}, "momentum"),
]
GOOD = {
  CosineRestarts: {"peak_lr": 0.1, "cycle_steps": 10},
  Triangular: {"base_lr": 0.01, "peak_lr": 0.1, "half_cycle_steps": 5},
  OneCycle: {"peak_lr": 0.1, "total_steps": 10},
  WarmupCosine: {"peak_lr": 0.1, "warmup_steps": 2, "total_steps": 10},
  RangeSweep: {"min_lr": 1e-5, "max_lr": 1.0, "total_steps": 10},
  Linear: {"initial_lr": 0.1, "final_lr": 0.0, "total_steps": 10},
  Cosine: {"initial_lr": 0.1, "total_steps": 10},
  Polynomial: {"initial_lr": 0.1, "final_lr": 0.0, "total_steps": 10},
  Exponential: {"initial_lr": 0.1, "decay_steps": 10, "decay_rate": 0.9},
  InverseTime: {"initial_lr": 0.1, "decay_steps": 10, "decay_rate": 0.9},
  InverseSqrt: {"peak_lr": 0.1, "warmup_steps": 10},
  Power: {"peak_lr": 0.1, "coefficient": 1.0},
  StepDecay: {"initial_lr": 0.1, "drop": 0.5, "drop_every": 10},
  PiecewiseConstant: {"boundaries": (5, 9), "values": (0.3, 0.2, 0.1)},
  WarmupStableDecay: {
    "peak_lr": 0.1,
    "warmup_steps": 2,
    "stable_steps": 5,
    "decay_steps": 3,
  },
  Join: {"schedules": (Constant(0.1), Constant(0.2)), "boundaries": (5,)},
  Warmup: {"schedule": Constant(0.1), "warmup_steps": 5},
  Scaled: {"schedule": Constant(0.1), "factor": 0.5},
  Combined: {
    "schedule": Constant(0.1),
    "names": ("weight_decay",),
    "kernels": (Constant(0.1),),
  },
  Product: {"schedules": (Constant(0.1, 0.9), Constant(0.5))},
}
FIELDS = {
  CosineRestarts: {
    "peak_lr": [-1, NAN, INF],
    "cycle_steps": [0, -3, 2.5, True],
    "cycle_mult": [0, -2, NAN],
    "peak_decay": [0, -0.5],
    "floor_lr": [-0.1, INF],
    "cycles": [0, 1.5],
    "round_to": [0, 1.5],
    "momentum": [0.9, (0.9,), (1.0, 0.8), (0.9, -0.1), (0.9, NAN)],
  },
  Triangular: {
    "base_lr": [-1, NAN],
    "peak_lr": [-1, INF],
    "half_cycle_steps": [0, 1.5],
    "half_cycle_down_steps": [0, "3"],
    "mode": ["saw", None],
    "gamma": [0, 1.1, NAN],
    "final_lr": [-1],
    "momentum": [(0.9, 2)],
  },
  OneCycle: {
    "peak_lr": [-1, NAN],
    "total_steps": [0, 10.0],
    "warmup_fraction": [-0.1, 1.1, NAN],
    "initial_div": [0, -1],
    "final_div": [0, INF],
    "anneal": ["cubic"],
    "three_phase": [1],
    "momentum": [(0.9, 1.0)],
    "phase_ends": ["never"],
  },
  WarmupCosine: {
    "peak_lr": [-1],
    "warmup_steps": [-1, 11],
    "total_steps": [0],
    "hold_steps": [-1, 9],
    "initial_lr": [NAN],
    "final_lr": [-1],
    "momentum": ["0.9"],
  },
  RangeSweep: {
    "min_lr": [0, -1, NAN],
    "max_lr": [1e-6, INF],
    "total_steps": [1, 0],
    "spacing": ["log"],
  },
  Linear: {
    "initial_lr": [-1, "high"],
    "final_lr": [INF],
    "total_steps": [0, 1.5],
  },
  Cosine: {"initial_lr": [NAN], "total_steps": [-5], "final_lr": [-0.1]},
  Polynomial: {
    "initial_lr": [-1],
    "final_lr": [NAN],
    "total_steps": [0],
    "power": [0, -1, INF],
    "cycle": [1],
  },
  Exponential: {
    "initial_lr": [-1],
    "decay_steps": [0, 2.5],
    "decay_rate": [0, NAN],
    "staircase": ["yes"],
    "end_lr": [-1, NAN, "low", 1e39],
  },
  InverseTime: {"decay_steps": [0], "decay_rate": [-1], "staircase": [0]},
  InverseSqrt: {
    "peak_lr": [-1, NAN],
    "warmup_steps": [-1, 0.5],
    "initial_lr": [INF],
    "timescale": [0, 1.5, "10"],
  },
  Power: {
    "peak_lr": [-1, "high"],
    "coefficient": [0, -1, NAN],
    "exponent": [0, 0.5, NAN, "-1"],
  },
  StepDecay: {"initial_lr": [INF], "drop": [0, -1], "drop_every": [0, 0.5]},
  PiecewiseConstant: {
    "boundaries": [(), 5, (9, 5), (5, 5), (0, 5), (1.5, 5)],
    "values": [(0.1,), 0.1, (0.3, -0.2, 0.1), (0.3, NAN, 0.1)],
  },
  WarmupStableDecay: {
    "peak_lr": [-1],
    "warmup_steps": [-1, 0.5],
    "stable_steps": [-1],
    "decay_steps": [0],
    "initial_lr": [INF],
    "final_lr": [-0.1],
    "decay": ["exponential", 1],
    "cycles": [0, 1.5, "2"],
  },
  Join: {
    "schedules": [
      (),
      Constant(0.1),
      (Constant(0.1), 0.1),
      (Constant(0.1), Constant(0.1, 0.9)),
    ],
    "boundaries": [(), (5, 9), (0,), 5],
  },
  Warmup: {
    "schedule": [0.1, None],
    "warmup_steps": [-1, 1.5],
    "initial_lr": [-1],
    "shift": [1, None],
  },
  Product: {
    "schedules": [
      (),
      Constant(0.1),
      (Constant(0.1), 0.5),
      (Constant(0.1, 0.9), Constant(0.5), Constant(0.2, 0.9)),
    ],
  },
  Scaled: {"schedule": ["cosine"], "factor": [-1, NAN]},
  Combined: {
    "schedule": ["cosine"],
    "names": [(), ("weight_decay", "weight_decay"), ("a", "b")],
  },
}
BAD += [
  (kind, {**GOOD[kind], name: value}, name)
  for kind, fields in FIELDS.items()
  for name, values in fields.items()
  for value in values
]


def shown(value):
  """What a message may show: the value, or the bad part of a sequence."""
  parts = value if isinstance(value, (tuple, list)) else ()
  return [repr(value), *map(repr, parts)]


@pytest.mark.parametrize(("kind", "fields", "name"), BAD, ids=str)
def test_refused_when_made(kind, fields, name):
  with pytest.raises(ValueError) as caught:
    kind(**fields)
  message = str(caught.value)
  assert message.startswith(f"`{name}` must be ")
  assert message.endswith(tuple(f"; got {one}" for one in shown(fields[name])))
  assert "\n" not in message


def test_the_table_is_whole():
  assert len(BAD) >= 60
  every = {
    kind
    for kind in vars(kernels).values()
    if isinstance(kind, type) and issubclass(kind, kernels.Schedule)
  }
  assert {kind for kind, _, _ in BAD} == every - {kernels.Schedule}
  for kind, fields in GOOD.items():
    kind(**fields)


def test_three_phase_needs_room():
  with pytest.raises(ValueError, match="`warmup_fraction` must be"):
    OneCycle(0.1, 10, 0.6, three_phase=True)


def test_unknown_preset_and_kernel():
  with pytest.raises(ValueError, match="`preset` must be one of torch"):
    OneCycle.preset("keras", 0.1, 10)
  with pytest.raises(ValueError, match="`kernel` must be one of Combined"):
    kernels.from_config({"kernel": "Sawtooth"})
