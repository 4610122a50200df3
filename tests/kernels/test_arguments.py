"""Every bad argument: one line with field, value and rule."""

import pytest

import kernels
from kernels import (
  Constant,
  CosineRestarts,
  OneCycle,
  RangeSweep,
  Triangular,
  WarmupCosine,
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
}
BAD += [
  (kind, {**GOOD[kind], name: value}, name)
  for kind, fields in FIELDS.items()
  for name, values in fields.items()
  for value in values
]


@pytest.mark.parametrize(("kind", "fields", "name"), BAD, ids=str)
def test_refused_when_made(kind, fields, name):
  with pytest.raises(ValueError) as caught:
    kind(**fields)
  message = str(caught.value)
  assert f"`{name}` must be " in message
  assert repr(fields[name]) in message or not isinstance(fields[name], str)
  assert "\n" not in message


def test_three_phase_needs_room():
  with pytest.raises(ValueError, match="`warmup_fraction` must be"):
    OneCycle(0.1, 10, 0.6, three_phase=True)


def test_unknown_preset_and_kernel():
  with pytest.raises(ValueError, match="`preset` must be one of torch"):
    OneCycle.preset("keras", 0.1, 10)
  with pytest.raises(ValueError, match="`kernel` must be one of Constant"):
    kernels.from_config({"kernel": "Sawtooth"})
