"""Runs that take turns, and what their times say.

A runner has an `engine` (str), a `unit` (updates that it does at least) and
`run(updates)`, which returns when so many, a multiple of the unit, are done.
"""

import dataclasses
import gc
import statistics
import time
import typing

import numpy as np

_DRAWS, _CONFIDENCE = 10_000, 0.95


class Turn(typing.NamedTuple):
  """Seconds of one run: on the clock, and of all processor cores together."""

  wall: float
  processor: float


class NotWritten(Exception):
  """A runner does not know how to train this model."""


@dataclasses.dataclass(frozen=True)
class Options:
  """How long is measured.

  Attributes:
    seconds: length of one timed run, roughly.
    repeats: timed runs of each runner.
    patience: a runner whose shortest run takes longer than so many seconds
      is timed once only.
  """

  seconds: float
  repeats: int
  patience: float


class _Entry:
  """One runner with its times; `runner` is None if there is none."""

  def __init__(self, name, maker, options):
    self.name, self.note, self.engine = name, "", ""
    self.times, self.updates, self.first = [], 0, 0.0
    self.processor_times = []
    self.runner, self.repeats = None, 0
    began = time.perf_counter()
    try:
      runner = maker()
      runner.run(runner.unit)
    except ImportError as error:
      self.note = f"not importable: {error.name}"
      return
    except NotWritten as error:
      self.note = f"not written: {error}"
      return
    except ValueError as error:
      self.note = f"refused: {str(error).splitlines()[0]}"
      return
    self.first = time.perf_counter() - began
    self.runner, self.engine = runner, runner.engine
    self.note = getattr(runner, "note", "")
    self._choose_length(options)

  def _choose_length(self, options):
    """Finds a length that takes about `options.seconds`, and runs it once."""
    self.updates, self.repeats = self.runner.unit, options.repeats
    for _ in range(3):  # short runs say little about long ones
      turn = self.turn()
      took = turn.wall
      if took > options.patience:
        self.record(turn)
        self.repeats = 0
        self.note = "; ".join(filter(None, [self.note, "slow: timed once"]))
        return
      updates = options.seconds * self.updates / took / self.runner.unit
      updates = max(1, round(updates)) * self.runner.unit
      if updates <= 2 * self.updates:
        return
      self.updates = updates
    self.turn()  # a length may need a compilation of its own

  def turn(self):
    """One run, a `Turn`."""
    began = Turn(time.perf_counter(), time.process_time())
    self.runner.run(self.updates)
    return Turn(
      time.perf_counter() - began.wall, time.process_time() - began.processor
    )

  def record(self, turn):
    """Keeps a run's microseconds an update."""
    self.times.append(1e6 * turn.wall / self.updates)
    self.processor_times.append(1e6 * turn.processor / self.updates)

  def row(self):
    """Name, engine and times, as JSON types."""
    cells = {"runner": self.name, "engine": self.engine}
    if self.times:
      cells |= summary(self.times)
      times = [round(one, 4) for one in self.processor_times]
      cells["processor"] = round(statistics.median(times), 3)
      cells["processor_times"] = times
      cells |= {"updates": self.updates, "first_s": round(self.first, 2)}
    return {**cells, "note": self.note}


def measure(makers, options):
  """Makes and warms runners, then times them in turns.

  Args:
    makers: {name: callable that makes a runner}. One that raises
      ImportError, `NotWritten` or ValueError gives a row that says so.
    options: an `Options`.

  Returns:
    A list of rows, see `summary` and `add_ratios`; times in microseconds an
    update, "processor" the median of those of all cores together, "first_s"
    the seconds it took to make, compile and run at first.
  """
  entries = [_Entry(name, make, options) for name, make in makers.items()]
  live = [entry for entry in entries if entry.repeats]
  gc.collect()
  for i in range(options.repeats):
    shift = i % max(1, len(live))  # nobody always follows the same one
    for entry in live[shift:] + live[:shift]:
      entry.record(entry.turn())
  return add_ratios([entry.row() for entry in entries])


def summary(times):
  """{"median", "min", "max", "n", "times"} of some times."""
  return {
    "median": round(statistics.median(times), 3),
    "min": round(min(times), 3),
    "max": round(max(times), 3),
    "n": len(times),
    "times": [round(one, 4) for one in times],
  }


def add_ratios(rows):
  """Puts "ratio", "low" and "high" against the first row into each.

  Args:
    rows: dicts with "times" where it ran.

  Returns:
    The rows.
  """
  base = rows[0].get("times")
  for row in rows:
    if base and row.get("times"):
      row.update(ratio(row["times"], base))
  return rows


def ratio(times, base):
  """The ratio of two medians and its bootstrap interval.

  Runs of one turn are drawn together, for they share what else the machine
  did (the percentile bootstrap of Efron, 1979, over turns).

  Args:
    times, base: one entry a turn.

  Returns:
    {"ratio", "low", "high"}: the median of `times` over that of `base`, and
    its 95 % interval; None where the turns are not the same.
  """
  middle = statistics.median(times) / statistics.median(base)
  low = high = None
  if len(times) == len(base) > 1:
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(base), (_DRAWS, len(base)))
    above, below = (np.median(np.array(t)[draws], 1) for t in (times, base))
    edge = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(above / below, [edge, 1 - edge])
    low, high = round(float(low), 4), round(float(high), 4)
  return {"ratio": round(middle, 4), "low": low, "high": high}


def case(rows, above, below, sign, limit):
  """Whether a ratio of two rows' medians keeps to its limit.

  Args:
    rows: of one table.
    above, below: the runners.
    sign: "<=" or ">=".
    limit: of the ratio.

  Returns:
    {"case", "ratio", "low", "high", "floor", "reached"}, the last "yes",
    "no", or "within noise" if the limit is inside the interval; or None if
    one of them did not run.
  """
  times = {row["runner"]: row.get("times") for row in rows}
  if not (times.get(above) and times.get(below)):
    return None
  interval = ratio(times[above], times[below])
  value, low, high = interval.values()
  reached = value <= limit if sign == "<=" else value >= limit
  answer = "yes" if reached else "no"
  if not reached and low is not None and low <= limit <= high:
    answer = "within noise"
  name, floor = f"{above} / {below}", f"{sign} {limit:g}"
  return {"case": name, **interval, "floor": floor, "reached": answer}
