"""Where the time from a process' start to its first update goes.

  python scripts/benchmarks/first_update.py --models=mlp_small,vit

Each model has a process of its own, which does by hand what a fit does in
turn: "imports"; "model", its layers; "first call", which builds it and its
metrics; "trace" of the window; "XLA", which compiles it, in a call of no
update; "update", the fit to its first row. "calls" counts how often the model's
Python was run by then. In the graph engine the trace belongs to "update".
Seconds.
"""

import parent  # noqa: F401

# isort: split
from cli import interrupts

if __name__ == "__main__":
  interrupts.install()  # before what takes time to import

# isort: split
import json
import subprocess
import sys
import time
from unittest import mock

from absl import app, flags

from cli import exits, flag_rules, verbosity
from cli.light import output, strict_json

FLAGS = flags.FLAGS
_PHASES = ("imports", "model", "first call", "trace", "XLA", "update")


def define_flags():
  """Defines all flags of the script."""
  flags.DEFINE_string(
    "models", "", "names of the zoo's models, by commas; empty: all"
  )
  flags.DEFINE_string(
    "child", None, "the one model of this process; unset: one for each model"
  )
  flag_rules.number("began", 0, "when it was started, Unix time [s]")
  flag_rules.show_in_help()


class _Laps:
  """Seconds of phases, one after another.

  Args:
    began: when the first of them began, as `time.time` has it.
  """

  def __init__(self, began):
    self._last, self.seconds = began, {}

  def end(self, phase):
    """The phase that is ending now."""
    now = time.time()
    self.seconds[phase] = round(now - self._last, 3)
    self._last = now


def measured(name):
  """{phase: seconds} and {"engine", "calls"} of one model, in this process."""
  laps = _Laps(FLAGS.began)
  with verbosity.startup():
    import keras  # noqa: F401

    import trainloop  # noqa: F401
    from benchmarks import zoo_models
  laps.end("imports")
  task = zoo_models.task(name)
  laps.end("data")
  model = task.make()
  laps.end("model")
  with mock.patch.object(model, "call", wraps=model.call) as call:
    engine = _fit(task, model, laps)
    return {**laps.seconds, "engine": engine, "calls": call.call_count}


def _fit(task, model, laps):
  """A fit's steps up to its first update and on; the engine's name."""
  import keras

  import kernels
  import trainloop

  loop = trainloop.TrainLoop(
    model,
    keras.optimizers.Adam(),
    task.loss,
    metrics=task.metrics,
    steps_per_loop=1,
    verbose=False,
    on_window=lambda _: "update" in laps.seconds or laps.end("update"),
  )
  data = trainloop.ArrayData(task.x, task.y, batch_size=task.batch_size)
  programs, schedule = loop.programs, kernels.Constant(1e-3)
  programs.admit(data)
  laps.end("first call")
  loop.trainee.prepare(schedule)
  table = programs.table(schedule)
  if programs.engine.name == "xla":
    window = programs.window(table.columns, data)
    run = window.attempt(table, data.no_batches(window.capacity.updates))
    laps.end("trace")
    run()
    laps.end("XLA")
  loop.fit(data, 1, schedule=schedule)
  return loop.engine.name


def main(argv):
  del argv
  if FLAGS.child:
    with exits.worded():
      output.line(strict_json.dumps(measured(FLAGS.child)))
    return
  from benchmarks import report, zoo_models

  names = flag_rules.split(FLAGS.models) or list(zoo_models.MODELS)
  rows = []
  for name in names:
    if name not in zoo_models.MODELS:
      flag_rules.stop(f"--models={name} must be of {list(zoo_models.MODELS)}")
    done = subprocess.run(
      [sys.executable, __file__, f"--child={name}", f"--began={time.time()}"],
      capture_output=True,
      text=True,
      check=False,
    )
    if done.returncode:
      raise RuntimeError(f"{name} failed:\n{done.stderr[-2000:]}")
    seconds = json.loads(done.stdout.splitlines()[-1])
    total = sum(seconds.get(phase, 0.0) for phase in _PHASES)
    rows.append({"model": name, **seconds, "total": round(total, 2)})
  report.show(rows)


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
