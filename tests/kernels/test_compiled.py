"""Every kernel compiles whole: what XLA makes of a scalar int64 step."""

import re

import pytest
import tensorflow as tf

import kernels

PAIR = (0.95, 0.85)
RESTARTS = kernels.CosineRestarts(0.3, 10, 1.1, 0.9, 1e-4, momentum=PAIR)
CYCLE = kernels.OneCycle(0.3, 100)
FUSIONS = [
  (kernels.Constant(0.3), 0),
  (kernels.Constant(0.3, 0.9), 0),
  (kernels.Linear(0.3, 1e-7, 40), 1),
  (kernels.Cosine(0.3, 40, 1e-5), 1),
  (kernels.Polynomial(0.3, 1e-3, 40, 2.5), 1),
  (kernels.Polynomial(0.3, 1e-3, 40, 0.5, cycle=True), 1),
  (kernels.Exponential(0.3, 7, 0.6), 1),
  (kernels.Exponential(0.3, 7, 0.6, staircase=True), 1),
  (kernels.Exponential(0.3, 7, 0.6, end_lr=0.01), 1),
  (kernels.InverseTime(0.3, 7, 0.6), 1),
  (kernels.InverseSqrt(0.3, 7, 0.01), 1),
  (kernels.Power(0.3, 1.0, -0.7), 1),
  (kernels.StepDecay(0.3, 0.5, 9), 1),
  (kernels.PiecewiseConstant([5, 20], [0.3, 0.2, 0.1]), 1),
  (kernels.from_function(lambda epoch: 1 / (1 + epoch), 300, 9), 3),
  (kernels.CosineRestarts(0.3, 7), 1),
  (kernels.CosineRestarts(0.3, 7, momentum=PAIR), 3),
  (kernels.CosineRestarts(0.3, 10, 2.0, momentum=PAIR), 6),
  (RESTARTS, 6),
  (kernels.CosineRestarts(0.3, 10, 1.1, cycles=9, momentum=PAIR), 5),
  (kernels.Triangular(1e-3, 0.3, 6, momentum=PAIR), 3),
  (kernels.Triangular(1e-3, 0.3, 6, 9, "triangular2", momentum=PAIR), 4),
  (kernels.Triangular(1e-3, 0.3, 6, 9, "exp_range", 0.99, final_lr=1e-5), 1),
  (CYCLE, 4),
  (kernels.OneCycle(0.3, 100, three_phase=True), 4),
  (kernels.OneCycle.preset("fastai", 0.3, 101), 4),
  (kernels.OneCycle.preset("ktrain", 0.3, 101), 4),
  (kernels.OneCycle.preset("optax", 0.3, 101), 1),
  (kernels.WarmupCosine(0.3, 7, 60, 9, momentum=PAIR), 2),
  (kernels.WarmupStableDecay(0.3, 7, 40, 30), 1),
  (kernels.WarmupStableDecay(0.3, 7, 40, 30, decay="cosine"), 1),
  (kernels.WarmupStableDecay(0.3, 7, 40, 30, decay="sqrt"), 1),
  (kernels.WarmupStableDecay(0.3, 7, 40, 30, cycles=3), 1),
  (kernels.WarmupStableDecay(0.3, 7, 40, 30, cycles=None), 1),
  (kernels.RangeSweep(1e-7, 10.0, 77), 1),
  (kernels.RangeSweep(1e-7, 10.0, 77, "linear"), 1),
  (kernels.Join([kernels.Linear(0.0, 0.3, 9), kernels.Cosine(0.3, 9)], [9]), 1),
  (kernels.Join([CYCLE, RESTARTS], [100]), 8),
  (kernels.Warmup(CYCLE, 9), 4),
  (kernels.Warmup(RESTARTS, 9), 6),
  (kernels.Warmup(RESTARTS, 9, shift=False), 6),
  (kernels.Scaled(CYCLE, 0.5), 4),
  (kernels.Combined(CYCLE, ["decay"], [kernels.Linear(0.3, 0.0, 40)]), 4),
  (kernels.Product([CYCLE, kernels.StepDecay(1.0, 0.5, 9)]), 4),
  (kernels.Product([kernels.Cosine(0.3, 40), RESTARTS]), 6),
]
# Instructions of the entry computation that do no work of their own; `copy`
# is how a constant reaches an output.
FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast"}


def optimized_hlo(schedule):
  step = tf.TensorSpec([], tf.int64)
  compiled = tf.function(
    schedule, autograph=False, jit_compile=True, input_signature=[step]
  )
  ir = compiled.experimental_get_compiler_ir(tf.constant(3, tf.int64))
  return ir(stage="optimized_hlo")


def instructions(text):
  """Opcodes of the entry computation, in order."""
  entry = text[text.index("\nENTRY") :].splitlines()[2:]
  opcode = re.compile(r"= .*?[\])}] ([a-z][a-z-]*)\(")
  return [m[1] for m in map(opcode.search, entry) if m]


@pytest.mark.parametrize(
  ("schedule", "fusions"), FUSIONS, ids=[repr(c[0])[:60] for c in FUSIONS]
)
def test_fusions_only(schedule, fusions):
  text = optimized_hlo(schedule)
  found = instructions(text)
  assert found.count("fusion") == fusions <= 8
  rest = set(found) - FREE - {"fusion"}
  assert rest <= ({"copy"} if isinstance(schedule, kernels.Constant) else set())
  for word in ("while", "sort", "custom-call", "infeed", "outfeed", "send",
               "recv", "copy-start", "conditional"):  # fmt: skip
    assert f" {word}(" not in text, word


def test_every_kernel_is_counted():
  names = {type(schedule).__name__ for schedule, _ in FUSIONS}
  every = {
    name
    for name, kind in vars(kernels).items()
    if isinstance(kind, type) and issubclass(kind, kernels.Schedule)
  }
  assert names == every - {"Schedule"}
