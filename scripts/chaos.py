"""Kills the training script again and again; the run must end as if it was not.

  python scripts/chaos.py --kills=100 --seed=1

Forks train.py, kills it at named points, inside saves and at random moments,
starts it again until it ends, and compares weights, slots, best weights, rows
and events byte for byte with a run that nobody killed. Every other run reads
its data by tf.data. Prints a tally, and exits with 1 if anything differs. 100
kills take about ten minutes on two cores.
"""

from cli import interrupts

if __name__ == "__main__":
  interrupts.install()  # before what takes time to import

# isort: split
import json
import os
import random
import signal
import tempfile
import time

from absl import app, flags

from cli import exits, flag_rules, verbosity
from cli.light import output, strict_json
from kills import points, runs

FLAGS = flags.FLAGS
_OWN = ("kills", "seed", "json", "kills_per_run")

# A run of many small saves that stops early, some seconds long.
_RUN = (
  "--epochs=60",
  "--hidden=256",
  "--batch_size=64",
  "--peak_lr=0.5",
  "--early_stopping=6",
  "--reduce_on_plateau=3",
  "--checkpoint_every=5st",
  "--validate_every=11st",
  "--profile=150:190",
)


_KINDS = ("arrays", "dataset")  # the end of a run's name

# Ways to kill without a point: in the next save, or whenever it comes.
_MOMENTS = ("save", "moment")


def define_flags():
  """Defines all flags of the script."""
  flag_rules.integer("kills", 20, "how many in all [kills]", 1)
  flag_rules.integer("seed", 0, "of the moments [any integer]", 0)
  flags.DEFINE_string("json", None, "file for the tally; unset: none")
  flag_rules.integer("kills_per_run", 10, "then a run ends [kills]", 1)
  flag_rules.show_in_help()


class Chaos:
  """One session: a reference, and runs that are killed.

  Args:
    folder: for the runs.
    seed: of all that is random.
  """

  def __init__(self, folder, seed):
    self._folder = folder
    self._dice = random.Random(seed)
    self._log = os.path.join(folder, "log.txt")
    self.tally = {
      "kills": 0,
      "inside a save": 0,
      "at named points": dict.fromkeys(points.NAMES, 0),
      "at random": 0,
      "runs": 0,
      "equal": 0,
      "rows lost or doubled": 0,
      "orphan files": 0,
    }
    self._deck = []

  def run(self, kills, kills_per_run):
    """Kills so often; returns whether all runs ended as the reference."""
    want = []
    for kind in _KINDS:
      began = time.monotonic()
      self._train(f"reference-{kind}")
      self._length = time.monotonic() - began
      want.append(self._left(f"reference-{kind}"))
    while self.tally["kills"] < kills:
      left = min(kills_per_run, kills - self.tally["kills"])
      kind = self.tally["runs"] % len(_KINDS)
      name = f"run-{self.tally['runs']}-{_KINDS[kind]}"
      self._killed(name, left)
      self._compare(name, want[kind])
    return self.tally["equal"] == self.tally["runs"]

  def _killed(self, name, kills):
    """One run, killed up to so many times, and brought to its end."""
    workdir = os.path.join(self._folder, name)
    for _ in range(kills):
      if os.path.exists(os.path.join(workdir, "result.json")):
        return
      self._kill(workdir)
    self._train(name)

  def _kill(self, workdir):
    """Starts the script and kills it in one of the three ways."""
    way = self._draw(new=not os.path.exists(workdir))
    point, arm = (None if way in _MOMENTS else way), None
    if point is not None:
      often = point not in points.ONCE
      hits = self._dice.randint(1, 12) if often else 1

      def arm():
        points.arm(point, hits)

    child = self._start(workdir, arm)
    if point is None:
      self._wait_and_kill(child, workdir, way)
    code = runs.wait(child)
    if code == -signal.SIGKILL:
      self._count(workdir, point)
    elif code:
      raise RuntimeError(f"{way}: a run ended with {code}; see {self._log}")
    else:
      self._deck.append(way)  # it came to its end first

  def _draw(self, new):
    """A point or a moment; all come by before one comes again."""
    if not self._deck:
      self._deck = [*points.NAMES, *_MOMENTS * 3]
      self._dice.shuffle(self._deck)
    first = points.FIRST
    if first in self._deck and (new or len(self._deck) > 1):
      self._deck.remove(first)  # only a new run comes by there
      if new:
        return first
      self._deck.insert(0, first)
    return self._deck.pop()

  def _wait_and_kill(self, child, workdir, way):
    """Kills at a random moment once it trains; for "save", in the next one."""
    seen = self._newest(workdir)
    while self._newest(workdir) == seen and not _ended(child):
      time.sleep(0.001)
    time.sleep(self._dice.uniform(0, min(1.0, self._length / 3)))
    while way == "save" and not (_ended(child) or runs.has_part(workdir)):
      pass
    if not _ended(child):
      os.kill(child, signal.SIGKILL)

  def _count(self, workdir, point):
    tally = self.tally
    tally["kills"] += 1
    if point is None:
      tally["at random"] += 1
    else:
      tally["at named points"][point] += 1
    inside = point in points.IN_A_SAVE
    tally["inside a save"] += inside or runs.has_part(workdir)

  def _compare(self, name, want):
    """Compares a run that came to its end with the reference."""
    tally, left = self.tally, self._left(name)
    workdir = os.path.join(self._folder, name)
    tally["runs"] += 1
    tally["equal"] += left == want
    tally["orphan files"] += len(runs.orphans(workdir))
    for tag, series in want["series"].items():
      steps = [step for step, _ in left["series"].get(tag, [])]
      expected = [step for step, _ in series]
      lost = len(set(expected) - set(steps))
      doubled = len(steps) - len(set(steps))
      tally["rows lost or doubled"] += lost + doubled
    for part in want:
      if left[part] != want[part]:
        output.line(f"{name}: {part} differ; see {self._folder}")

  def _train(self, name):
    """Runs the script to its end."""
    child = self._start(os.path.join(self._folder, name), None)
    code = runs.wait(child)
    if code:
      raise RuntimeError(f"{name} ended with {code}; see {self._log}")

  def _start(self, workdir, arm):
    arguments = [*_RUN, f"--workdir={workdir}"]
    pipeline = workdir.endswith(_KINDS[1])

    def child():
      # train.py defines its own, --seed among them
      FLAGS.remove_flag_values(dict.fromkeys(_OWN))
      runs.train(arguments, arm, pipeline)

    return runs.fork(child, self._log)

  def _left(self, name):
    workdir = os.path.join(self._folder, name)
    path = os.path.join(self._folder, f"{name}.json")
    child = runs.fork(lambda: runs.write_left(workdir, path), self._log)
    if runs.wait(child):
      raise RuntimeError(f"{name} cannot be read; see {self._log}")
    with open(path, encoding="utf-8") as file:
      return json.load(file)

  def _newest(self, workdir):
    """Names of the checkpoints that are there."""
    folder = os.path.join(workdir, "checkpoints")
    try:
      return {n for n in os.listdir(folder) if n.endswith(".index")}
    except OSError:
      return set()


def _ended(child):
  """Whether a child is dead already; leaves it to be waited for."""
  done = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
  return done is not None


def main(argv):
  del argv
  flag_rules.check_output("json")
  with exits.worded():
    with verbosity.startup():  # imported here, once for all the children
      from sklearn import datasets  # noqa: F401

      import train  # noqa: F401
      from training import job  # noqa: F401

    folder = tempfile.mkdtemp(prefix="chaos-")
    chaos = Chaos(folder, FLAGS.seed)
    good = chaos.run(FLAGS.kills, FLAGS.kills_per_run)
    output.line(strict_json.dumps(chaos.tally, indent=2))
    if FLAGS.json:
      with open(FLAGS.json, "w", encoding="utf-8") as file:
        file.write(strict_json.dumps(chaos.tally))
    return 0 if good else 1


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
