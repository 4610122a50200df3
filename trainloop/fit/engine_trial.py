"""compile="measure": times both engines on the first batches; uses the faster.

All variables are restored bit for bit, so the run is the one that `compile`
set to the winner would give. A workdir records the winner: a run that is
resumed takes it from there and measures nothing.
"""

import time

from trainloop.compiled import engine_choice
from trainloop.compiled.engine_choice import Engine
from trainloop.compiled.rehearsal import Rehearsal
from trainloop.model.snapshot import Snapshot
from trainloop.workdir import claims

_TRIAL = 64  # most updates of a timed window
_REPEATS = 3
# XLA is not timed further if an update takes it so many times as long.
_HOPELESS = 3.0
# Time limit of both trials: seconds, or a share of the fit if that is more.
_SECONDS, _SHARE = 5.0, 0.02


def once(trainee, programs, source, schedule, epochs, workdir, tell):
  """Before a loop's first fit: measures if that is asked for.

  Args:
    trainee, programs, source, schedule: see `measure`.
    epochs: of the fit.
    workdir: folder whose run, if there is one, has the engine; or None.
    tell: function that shows a line.
  """
  if not programs.engines.measures:
    return
  name = recorded(workdir)
  if name:
    winner = Engine(name, "as it was measured")
  else:
    tell("both engines are timed on the first batches")
    updates = epochs * source.steps_per_epoch
    winner = measure(trainee, programs, source, schedule, updates)
  programs.engines.settle(winner)


def recorded(workdir):
  """The name of the engine of a run; "" if there is none.

  Args:
    workdir: its folder, or None.
  """
  fits = [] if workdir is None else claims.newest_fits(workdir)
  return fits[0].terms.engine if fits else ""


def measure(trainee, programs, source, schedule, updates):
  """The faster engine, by running both; all else is as before.

  Args:
    trainee: the `Trainee`.
    programs: its `Programs`, built, with the engine of the rule.
    source: data source of training.
    schedule: the `kernels.Schedule` of the fit.
    updates: how many updates the fit has.

  Returns:
    An `Engine`.
  """
  why = engine_choice.obstacle(trainee.strategy, source)
  if why:
    return Engine("graph", why, forced=True)
  by_rule, table = programs.engine, programs.table(schedule)
  snapshot = Snapshot(trainee.moved())
  before = snapshot.take()
  try:
    programs.engines.replace(Engine("xla", "on trial"))
    programs.compile(table, source)
    if programs.engine.forced:
      return programs.engine
    graph = _Trial(trainee, programs, source, table, "graph")
    budget = max(_SECONDS, _SHARE * updates * graph.first) / 2
    graph.run(budget)
    xla = _Trial(trainee, programs, source, table, "xla")
    if xla.first < _HOPELESS * graph.first:
      xla.run(budget)
  finally:
    snapshot.put_back(before)
    programs.engines.replace(by_rule)
  return _winner(graph, xla)


def _winner(graph, xla):
  times = {"graph": graph.seconds, "xla": xla.seconds}
  name = min(times, key=times.get)
  texts = [f"{kind} {1e6 * t:.0f}" for kind, t in times.items()]
  return Engine(name, f"measured: {', '.join(texts)} us an update")


class _Trial:
  """One engine on the first batches.

  Attributes:
    first: seconds of one update, once it is compiled.
    seconds: of an update, the least seen.
  """

  def __init__(self, trainee, programs, source, table, name):
    programs.engines.replace(Engine(name, "on trial"))
    self._rehearsal = Rehearsal(
      trainee.strategy,
      programs,
      source.again(),
      table,
      _TRIAL,
      _TRIAL,
    )
    self._time(1)  # compiles
    self.first = self.seconds = self._time(1)

  def run(self, budget):
    """Times windows for about so many seconds."""
    n = max(1, int(budget / _REPEATS / max(self.first, 1e-6)))
    times = [self._time(n) for _ in range(_REPEATS)]
    self.seconds = min(self.seconds, *times)

  def _time(self, n):
    """Seconds of an update in a window of up to n; of the data's first ones."""
    began = time.perf_counter()
    result = self._rehearsal.run(0, n)
    result.rows.numpy()  # waits for the device
    # One that is refused ends the window, and has taken its time.
    updates = max(1, int(result.done))
    return (time.perf_counter() - began) / updates
