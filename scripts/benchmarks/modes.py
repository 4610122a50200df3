"""The comparisons: which runners take turns, and what they do."""

import functools
import os
import tempfile

from benchmarks import models, peers, refits
from benchmarks.keras_runners import Fit, fastest_fit, pipeline
from benchmarks.measure import case, measure
from benchmarks.runners import Bare, Dataset, Evaluate, Loop, array_data

_UPDATE = "us an update"
_OURS, _FASTEST = "this loop", "fit, fastest"
_XLA_BARE = "bare loop, xla"
# (case, in proportion to, sign, limit) by model.
_COMPARE_FLOORS = {
  "mlp_64_64_10": [
    (_OURS, _XLA_BARE, "<=", 1.15),
    ("fit", _OURS, ">=", 12),
    (_FASTEST, _OURS, ">=", 4),
    (_OURS, "JAX lax.scan", "<=", 1.4),
  ],
  "mlp_dropout": [(_OURS, "this loop, no Dropout", "<=", 1.5)],
  "embedding_bag": [(_FASTEST, _OURS, ">=", 2)],
  "embedding_bag_32": [(_FASTEST, _OURS, ">=", 2)],
  "mnist_cnn": [(_OURS, _FASTEST, "<=", 1.05)],
  "mlp_784_1024_1024_10": [(_OURS, _FASTEST, "<=", 1.05)],
}
_LOGGING_FLOORS = [
  ("log_every=1", "no workdir", "<=", 1.35),
  ("log_every=100", "no workdir", "<=", 1.05),
]
_SHORT_STEPS, _SHORT_EVERY = 10, 10
_WINDOWS = (1, 10, 100, 1000)
_MOST_DISPATCH = 1000.0  # microseconds a window


def _table(mode, task, unit, rows, floors=()):
  """What a `Report` takes; ratios are to the first row."""
  cases = [case(rows, *floor) for floor in floors]
  cases = [one for one in cases if one]
  return {
    "mode": mode,
    "model": f"{task.name}, batch {task.batch_size}",
    "unit": unit,
    "reference": rows[0]["runner"],
    "rows": rows,
    "cases": cases,
  }


def engines(task, options):
  """Both engines on one model, and the one that `compile="auto"` takes."""
  makers = {
    "graph": functools.partial(Loop, task, "graph"),
    "xla": functools.partial(Loop, task.few, "xla"),
  }
  rows = measure(makers, options)
  auto = Loop(task.few)
  auto.run(auto.unit)
  taken = {"runner": f"auto: {auto.engine}", "note": auto.reason}
  return [_table("engines", task, _UPDATE, [*rows, taken])]


def compare(task, options):
  """This loop, the bare one, Keras' fit and other libraries on one model."""
  data = array_data(task)
  makers = {
    _OURS: functools.partial(Loop, task, data=data),
    "this loop, graph": functools.partial(Loop, task, "graph", data=data),
    "this loop, xla": functools.partial(Loop, task.few, "xla"),
    "bare loop, graph": functools.partial(Bare, task, jit=False),
    _XLA_BARE: functools.partial(Bare, task, jit=True),
    "fit": functools.partial(Fit, task),
    "fit, lr callback": functools.partial(Fit, task, callback=True),
    _FASTEST: functools.partial(fastest_fit, task),
    "JAX lax.scan": functools.partial(peers.JaxScan, task),
    "PyTorch": functools.partial(peers.Torch, task),
    "Orbit": functools.partial(peers.Orbit, task),
  }
  if task.name == "mlp_dropout":
    plain = models.task("mlp_64_64_10", task.steps)
    makers["this loop, no Dropout"] = functools.partial(Loop, plain)
  rows = measure(makers, options)
  floors = _COMPARE_FLOORS.get(task.name, ())
  return [_table("compare", task, _UPDATE, rows, floors)]


def logging(task, options):
  """Without a workdir, with each row written, and with each hundredth."""
  last = "100%"  # none inside a fit: it's the logging that is measured
  with tempfile.TemporaryDirectory() as folder:

    def written(every):
      workdir = os.path.join(folder, str(every))
      return Loop(
        task, workdir=workdir, log_every=every, checkpoint_every=last, keep=1
      )

    makers = {
      "no workdir": functools.partial(Loop, task),
      "log_every=1": functools.partial(written, 1),
      "log_every=100": functools.partial(written, 100),
    }
    rows = measure(makers, options)
  return [_table("logging", task, _UPDATE, rows, _LOGGING_FLOORS)]


def validation(task, options):
  """A validation after each epoch, and evaluation passes alone."""
  held, size = task.first(40), 4 * task.batch_size
  ours = array_data(held, batch_size=size)
  theirs = held.x, held.y, size
  makers = {
    _OURS: functools.partial(Loop, task, validation=ours),
    "this loop, no validation": functools.partial(Loop, task),
    "fit": functools.partial(Fit, task, validation=theirs),
    "fit, no validation": functools.partial(Fit, task),
  }
  rows = measure(makers, options)
  makers = {
    "evaluate of this loop": functools.partial(Evaluate, held, size, True),
    "evaluate of Keras": functools.partial(Evaluate, held, size, False),
  }
  passes = measure(makers, options)
  unit = f"us a pass over {len(held.y)} examples in batches of {size}"
  return [
    _table("validation", task, _UPDATE, rows),
    _table("validation", task, unit, passes),
  ]


def short_epochs(task, options):
  """Epochs of ten updates, with a validation after each tenth."""
  short = task.first(_SHORT_STEPS)
  held = short.x, short.y, task.batch_size
  fit = {"validation": held, "every": _SHORT_EVERY}
  loop = {"every": _SHORT_EVERY, "validate_every": f"{_SHORT_EVERY}ep"}
  makers = {
    _OURS: lambda: Loop(short, validation=array_data(short), **loop),
    "this loop, no validation": lambda: Loop(short, **loop),
    f"this loop, {task.steps} steps an epoch": lambda: Loop(task),
    "fit": lambda: Fit(short, **fit),
    _FASTEST: lambda: fastest_fit(short, **fit),
  }
  rows = measure(makers, options)
  return [_table("short_epochs", task, _UPDATE, rows)]


def dispatch(task, options):
  """What a window costs the host, from windows of several lengths."""
  tables = []
  for engine in ("graph", "xla"):
    used = task.few if engine == "xla" else task
    makers = {
      f"this loop, {engine}, windows of {n}": functools.partial(
        Loop, used, engine, steps_per_loop=n
      )
      for n in reversed(_WINDOWS)
    }
    rows = measure(makers, options)
    tables.append(_table("dispatch", task, _UPDATE, rows))
    tables[-1]["cases"] = _overheads(rows)
  return tables


def _overheads(rows):
  """What a window costs besides its updates, from the longest windows'."""
  longest, *others = [row for row in rows if row.get("times")]
  cases = []
  for row, n in zip(others, reversed(_WINDOWS[:-1]), strict=True):
    cost = n * (row["median"] - longest["median"])
    reached = "yes" if cost <= _MOST_DISPATCH else "no"
    cases.append(
      {
        "case": f"{row['runner']}: host time a window",
        "us": round(cost, 1),
        "floor": f"<= {_MOST_DISPATCH:g}",
        "reached": reached,
      }
    )
  return cases


def streamed(task, options):
  """The same from a `tf.data.Dataset`, made anew in each epoch."""
  makers = {
    _OURS: lambda: Loop(task, data=pipeline(task)),
    "this loop, xla": lambda: Loop(task, "xla", data=pipeline(task)),
    "this loop, arrays": lambda: Loop(task),
    "fit": lambda: Fit(task, data=pipeline(task)),
    _FASTEST: lambda: fastest_fit(task, data=pipeline(task)),
    "the dataset alone": lambda: Dataset(task),
  }
  rows = measure(makers, options)
  floors = [(_FASTEST, _OURS, ">=", 2)]
  return [_table("streamed", task, _UPDATE, rows, floors)]


def refit(task, options):
  """Other schedules, lengths and a sweep on a loop that has trained."""
  return refits.refit(task, options)
