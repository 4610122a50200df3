"""Runs train.py in forks of one process; a signal comes in each at a place.

  python signals.py FOLDER

Prints {place: [exit code, names in the workdir, exit code of the same command
once more or null]} as JSON; FOLDER/PLACE is its workdir, FOLDER/PLACE.first
what it said, FOLDER/PLACE.log what it said once more.
"""

import json
import os
import signal
import sys

from support import commands

FLAGS = ("--epochs=2", "--hidden=8", "--batch_size=200", "--compile=graph")
PLACES = {
  "data": signal.SIGTERM,
  "loop": signal.SIGHUP,
  "last window": signal.SIGINT,
  "export": signal.SIGTERM,
  "lost": signal.SIGTERM,
}


def places():
  """{place: (owner, function after which the signal comes)}."""
  import keras

  import trainloop
  from training import job

  return {
    "data": (job, "load"),
    "loop": (job, "metrics"),
    "last window": (trainloop.TrainLoop, "fit"),
    "export": (keras.Model, "save"),
    "lost": (job, "default_peak"),
  }


def arm(place):
  """Makes this process send itself the signal of a place."""
  owner, name = places()[place]
  original = getattr(owner, name)

  class Lossy:
    """Loses what is raised while it goes, as any `__del__` does."""

    def __del__(self):
      os.kill(os.getpid(), PLACES[place])

  def armed(*args, **options):
    result = original(*args, **options)
    if place == "lost":
      Lossy()
    else:
      os.kill(os.getpid(), PLACES[place])
    return result

  setattr(owner, name, armed)


def main(folder):
  sys.path.insert(1, str(commands.ROOT / "scripts"))
  import sklearn.datasets  # noqa: F401

  import train  # noqa: F401
  from kills import runs
  from training import job  # noqa: F401

  codes = {}
  for place in PLACES:
    workdir = os.path.join(folder, place)
    arguments, log = [*FLAGS, f"--workdir={workdir}"], f"{workdir}.log"

    def child(arguments=arguments, place=place, armed=True):
      runs.train(arguments, (lambda: arm(place)) if armed else None)

    first = runs.wait(runs.fork(child, log))
    os.rename(log, f"{workdir}.first")
    left = sorted(os.listdir(workdir)) if os.path.isdir(workdir) else []
    again = None
    if place in ("last window", "export"):
      again = runs.wait(runs.fork(lambda: child(armed=False), log))
    codes[place] = [first, left, again]
  print(json.dumps(codes))


if __name__ == "__main__":
  main(sys.argv[1])
