"""compile="measure": both engines on the first batches; the faster one stays.

Everything is put back as it was, bit for bit, so that the run is the one that
`compile` set to the winner would give. The winner is part of the run's
fingerprint: a run that goes on takes it from there and measures nothing.
"""

import time

from trainloop.compiled import engine
from trainloop.compiled.engine import Engine
from trainloop.model.snapshot import Snapshot
from trainloop.workdir import claims
from trainloop.workdir.fit_plan import Limits

_TRIAL = 64  # most updates of a timed window
_REPEATS = 3
_HOPELESS = 3.0  # times slower in its first update: not tried further
_SECONDS, _SHARE = 5.0, 0.02  # what it may take, whichever is larger


def once(parts, source, schedule, epochs, workdir, tell):
  """Before a loop's first fit: measures if that is asked for.

  Args:
    parts, source, schedule: see `settle`.
    epochs: of the fit.
    workdir: folder whose run, if there is one, has the engine; or None.
    tell: function that shows a line.
  """
  if not parts.measures:
    return
  parts.measures = False
  fits = [] if workdir is None else claims.newest_fits(workdir)
  if fits:
    known = fits[0].terms.engine
    parts.engines.replace(Engine(known, "as it was measured"))
  else:
    tell("both engines are timed on the first batches")
    settle(parts, source, schedule, epochs * source.steps_per_epoch)


def settle(parts, source, schedule, updates):
  """Chooses the engine of a loop's `Parts` by running both.

  Args:
    parts: the loop's `Parts`, built, with the engine of the rule.
    source: data source of training.
    schedule: the `kernels.Schedule` of the fit.
    updates: how many updates the fit has.

  Returns:
    An `Engine`, which `parts` then uses.
  """
  why = engine.obstacle(parts.strategy, source)
  if why:
    return _use(parts, Engine("graph", why, forced=True))
  parts.prepare(schedule)
  if parts.engine.forced:
    return parts.engine
  snapshot = Snapshot(parts.moved())
  before = snapshot.take()
  try:
    graph = _Trial(parts, source, schedule, "graph")
    budget = max(_SECONDS, _SHARE * updates * graph.first) / 2
    graph.run(budget)
    xla = _Trial(parts, source, schedule, "xla")
    if xla.first < _HOPELESS * graph.first:
      xla.run(budget)
  finally:
    snapshot.put_back(before)
  return _use(parts, _winner(graph, xla))


def _winner(graph, xla):
  times = {"graph": graph.seconds, "xla": xla.seconds}
  name = min(times, key=times.get)
  shown = [f"{kind} {1e6 * t:.0f}" for kind, t in times.items()]
  return Engine(name, f"measured: {', '.join(shown)} us an update")


def _use(parts, engine):
  parts.engines.replace(engine)
  return engine


class _Trial:
  """One engine on the first batches.

  Attributes:
    first: seconds of one update, once it is compiled.
    seconds: of an update, the least seen.
  """

  def __init__(self, parts, source, schedule, name):
    parts.engines.replace(Engine(name, "on trial"))
    self._source, self._strategy = source.again(), parts.strategy
    parts.place(self._source)
    self._most = min(_TRIAL, source.steps_per_epoch, self._source.most_steps)
    self._source.stage(self._most)
    self._source.begin(0, epochs=1)
    limits = Limits((), self._most, 0)
    self._window = parts.new_window(schedule, limits, source, skips=True)
    self._time(1)  # compiles
    self.first = self.seconds = self._time(1)

  def run(self, budget):
    """Times windows for about so many seconds."""
    n = int(budget / _REPEATS / max(self.first, 1e-6))
    n = max(1, min(n, self._most, self._source.cut(0)))
    times = [self._time(n) / n for _ in range(_REPEATS)]
    self.seconds = min(self.seconds, *times)

  def _time(self, n):
    batches = self._source.training(self._strategy, 0, 0, n)
    began = time.perf_counter()
    self._window(batches).rows.numpy()
    return time.perf_counter() - began
