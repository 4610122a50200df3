"""Schedule kernels: step -> (learning_rate, momentum), computed in graph.

A "kernel" here is a schedule's compute kernel (TensorFlow ops that XLA compiles
to a few fusions), not a hand-written CUDA file.

  import kernels
  schedule = kernels.OneCycle(peak_lr=3e-3, total_steps=1000)
  schedule(0).learning_rate             # float32 scalar: peak / 25
  schedule(tf.range(1000)).momentum     # float32, shape [1000]
  rates, momenta = kernels.tabulate(schedule, 1000)   # NumPy, compiled
  schedule.to_config()                  # JSON types; kernels.from_config back

A schedule is a frozen dataclass of plain numbers, checked when it is made,
without variables or I/O: the same call works eagerly, in tf.function, under
XLA and in strategy.run, and gives the same bits in each.
"""

from kernels.base import Hyperparameters, Schedule, from_config, tabulate
from kernels.batch_scaling import scaled_to_batch
from kernels.combined import Combined
from kernels.compose import Join, Product, Scaled, Warmup
from kernels.cosine_restarts import CosineRestarts
from kernels.decay import (
  Constant,
  Cosine,
  Exponential,
  InverseTime,
  Linear,
  Polynomial,
)
from kernels.interop import as_keras, from_function, from_keras
from kernels.one_cycle import OneCycle
from kernels.piecewise import PiecewiseConstant, StepDecay
from kernels.power_laws import InverseSqrt, Power
from kernels.range_sweep import RangeSweep
from kernels.triangular import Triangular
from kernels.warmup import WarmupCosine, WarmupStableDecay

__all__ = [
  "Combined",
  "Constant",
  "Cosine",
  "CosineRestarts",
  "Exponential",
  "Hyperparameters",
  "InverseSqrt",
  "InverseTime",
  "Join",
  "Linear",
  "OneCycle",
  "PiecewiseConstant",
  "Polynomial",
  "Power",
  "Product",
  "RangeSweep",
  "Scaled",
  "Schedule",
  "StepDecay",
  "Triangular",
  "Warmup",
  "WarmupCosine",
  "WarmupStableDecay",
  "as_keras",
  "from_config",
  "from_function",
  "from_keras",
  "scaled_to_batch",
  "tabulate",
]
