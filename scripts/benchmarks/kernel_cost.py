"""What each schedule kernel costs: an update in a window, and a table.

  python scripts/benchmarks/kernel_cost.py --updates=20000 --repeats=15

"us/update" is the median time of an update of an XLA-compiled while loop that
evaluates the kernel at a scalar step, less that of the same loop without it;
the two loops take turns, so that a busy machine hits both. "table s" is the
time of `kernels.tabulate` for `--table` steps, its tracing included.
"""

import parent  # noqa: F401

# isort: split
from cli import interrupts

if __name__ == "__main__":
  interrupts.install()  # before what takes time to import

# isort: split
import statistics
import time

from absl import app, flags

from cli import exits, flag_rules, verbosity
from cli.light import output

FLAGS = flags.FLAGS


def define_flags():
  """Defines all flags of the script."""
  flag_rules.integer("updates", 20000, "updates of one timed loop [steps]", 1)
  flag_rules.integer("repeats", 15, "timed loops of each kind [loops]", 1)
  flag_rules.integer(
    "table", 10**7, "length of the timed table [steps]; 0: none", 0
  )
  flags.DEFINE_string("only", "", "print only names that contain this")
  flag_rules.show_in_help()


def schedules():
  """{name: schedule}: each kernel, the dearest of its settings among them."""
  import kernels as k

  pair = (0.95, 0.85)
  restarts = k.CosineRestarts(0.3, 10, 1.1, 0.9, 1e-4, momentum=pair)
  cycle = k.OneCycle(0.3, 10**6)
  return {
    "Constant": k.Constant(0.3),
    "Linear": k.Linear(0.3, 1e-7, 10**6),
    "Cosine": k.Cosine(0.3, 10**6, 1e-5),
    "Polynomial": k.Polynomial(0.3, 1e-3, 10**6, 2.5),
    "Polynomial cycle": k.Polynomial(0.3, 1e-3, 10**4, 0.5, cycle=True),
    "Exponential": k.Exponential(0.3, 700, 0.9),
    "InverseTime": k.InverseTime(0.3, 700, 0.9),
    "InverseSqrt": k.InverseSqrt(0.3, 700),
    "Power": k.Power(0.3, 1.0),
    "StepDecay": k.StepDecay(0.3, 0.5, 10**5),
    "PiecewiseConstant 2": k.PiecewiseConstant([5, 20], [0.3, 0.2, 0.1]),
    "PiecewiseConstant 64": k.PiecewiseConstant(
      list(range(10, 650, 10)), [0.3 / (1 + i) for i in range(65)]
    ),
    "CosineRestarts x1": k.CosineRestarts(0.3, 390, momentum=pair),
    "CosineRestarts x2": k.CosineRestarts(0.3, 390, 2.0, momentum=pair),
    "CosineRestarts x1.1": restarts,
    "Triangular": k.Triangular(1e-3, 0.3, 600, momentum=pair),
    "Triangular exp_range": k.Triangular(
      1e-3, 0.3, 600, 900, "exp_range", 0.9999, momentum=pair
    ),
    "OneCycle": cycle,
    "OneCycle three_phase": k.OneCycle(0.3, 10**6, three_phase=True),
    "WarmupCosine": k.WarmupCosine(0.3, 500, 10**6, momentum=pair),
    "WarmupStableDecay": k.WarmupStableDecay(0.3, 9, 10**6, 9**5, decay="sqrt"),
    "RangeSweep": k.RangeSweep(1e-7, 10.0, 10**5),
    "Join": k.Join([cycle, restarts], [10**6]),
    "Warmup": k.Warmup(restarts, 500),
    "Scaled": k.Scaled(restarts, 0.5),
    "from_keras": k.from_keras(
      k.interop.keras.optimizers.schedules.CosineDecayRestarts(0.3, 390)
    ),
    "from_function": k.from_function(lambda epoch: 0.3 / (1 + epoch), 90, 390),
  }


def loop_over(schedule):
  """A compiled loop of n updates, as a function of n."""
  import tensorflow as tf

  def body(step, total):
    values = [tf.cast(step, tf.float32)]
    if schedule is not None:
      values += [value for value in schedule(step) if value is not None]
    return step + 1, total + tf.add_n(values)

  def run(n):
    start = (tf.constant(0, tf.int64), tf.constant(0.0))
    return tf.while_loop(lambda step, total: step < n, body, start)[1]

  scalar = [tf.TensorSpec([], tf.int64)]
  return tf.function(
    run, autograph=False, jit_compile=True, input_signature=scalar
  )


def seconds(loop, n):
  """Time of one call of a compiled loop."""
  begun = time.perf_counter()
  loop(n).numpy()
  return time.perf_counter() - begun


def cost(schedule, bare, n, repeats):
  """(median us an update with the kernel, without it)."""
  loop, times = loop_over(schedule), ([], [])
  loop(n), bare(n)
  for _ in range(repeats):
    for one, measured in zip((loop, bare), times, strict=True):
      measured.append(seconds(one, n))
  return [statistics.median(measured) / int(n) * 1e6 for measured in times]


def main(argv):
  del argv
  with exits.worded():
    _run()


def _run():
  """Times the kernels, a line each."""
  with verbosity.startup():
    import tensorflow as tf

    import kernels

    tf.config.list_logical_devices()
  n = tf.constant(FLAGS.updates, tf.int64)
  bare = loop_over(None)
  head = f"{'kernel':22}{'with us':>9}{'without':>9}{'us/update':>11}"
  output.line(head + (f"{'table s':>9}" if FLAGS.table else ""))
  for name, schedule in schedules().items():
    if FLAGS.only.lower() not in name.lower():
      continue
    full, empty = cost(schedule, bare, n, FLAGS.repeats)
    line = f"{name:22}{full:9.3f}{empty:9.3f}{full - empty:11.3f}"
    if FLAGS.table:
      begun = time.perf_counter()
      kernels.tabulate(schedule, FLAGS.table)
      line += f"{time.perf_counter() - begun:9.2f}"
    output.line(line)


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
