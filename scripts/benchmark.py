"""What an update costs in each engine, model by model.

  python scripts/benchmark.py --engines --seconds=1 --repeats=5

Both engines run in one process and take turns; a row gives the medians, their
ratio, and which engine the rule of `compile="auto"` chooses and why. A busy
machine moves the times by a factor of up to two, the ratios less.
"""

import json
import statistics
import time

from absl import app, flags

import flag_rules
import quiet

FLAGS = flags.FLAGS


def define_flags():
  """Defines all flags of the script."""
  flags.DEFINE_bool("engines", True, "compare the engines on every model")
  flags.DEFINE_string("only", "", "only models whose name contains this")
  flag_rules.number("seconds", 0.5, "length of one timed fit", open_low=True)
  flag_rules.integer("repeats", 5, "timed fits of each engine", 1)
  flags.DEFINE_string("output", None, "JSON file to write")
  flag_rules.show_in_help()


class Runner:
  """One model in one engine, compiled, with a timed fit of a known length.

  Args:
    name: of the model.
    compile: "graph", "xla" or "auto".
  """

  def __init__(self, name, compile):
    import keras

    import benchmark_models
    import trainloop

    x, y, batch_size = benchmark_models.data(name)
    keras.utils.set_random_seed(0)
    self._data = trainloop.ArrayData(x, y, batch_size=batch_size)
    self._loop = trainloop.TrainLoop(
      benchmark_models.MODELS[name][-1](),
      keras.optimizers.SGD(0.01, momentum=0.9),
      "sparse_categorical_crossentropy",
      metrics=["accuracy"],
      compile=compile,
      verbose=False,
    )
    began = time.perf_counter()
    self._loop.fit(self._data, 1)
    self.compile_seconds = time.perf_counter() - began
    self._epochs = max(1, round(FLAGS.seconds / self._time(1)))

  @property
  def engine(self):
    """The `Engine` the loop runs in."""
    return self._loop.engine

  def microseconds(self):
    """Time of an update in one fit."""
    updates = self._epochs * self._data.steps_per_epoch
    return 1e6 * self._time(self._epochs) / updates

  def _time(self, epochs):
    began = time.perf_counter()
    self._loop.fit(self._data, epochs)
    return time.perf_counter() - began


def compare(name):
  """{"model", "graph_us", "xla_us", ...} of one model."""
  runners = {kind: Runner(name, kind) for kind in ("graph", "xla")}
  times = {kind: [] for kind in runners}
  for _ in range(FLAGS.repeats):
    for kind, runner in runners.items():
      times[kind].append(runner.microseconds())
  chosen = Runner(name, "auto").engine
  graph, xla = (statistics.median(times[kind]) for kind in ("graph", "xla"))
  return {
    "model": name,
    "graph_us": round(graph, 1),
    "xla_us": round(xla, 1),
    "xla_over_graph": round(xla / graph, 2),
    "xla_compile_s": round(runners["xla"].compile_seconds, 1),
    "auto": chosen.name,
    "reason": chosen.reason,
    "n": FLAGS.repeats,
  }


def main(argv):
  del argv
  with quiet.startup():
    import benchmark_models

  rows = []
  for name in benchmark_models.MODELS:
    if FLAGS.only in name:
      rows.append(compare(name))
      shown = [str(value) for value in rows[-1].values()]
      print(" | ".join(shown), flush=True)
  if FLAGS.output:
    with open(FLAGS.output, "w", encoding="utf-8") as file:
      json.dump(rows, file, indent=2)


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
