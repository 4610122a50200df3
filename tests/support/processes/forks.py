"""Runs scripts in forks of one process; `commands.forked` starts it.

  python forks.py

Reads a line of JSON a command: [script, arguments, its folder, the file of its
output, of its errors]; answers with a line, the exit code. TensorFlow is
imported once and not used before a fork.
"""

import json
import os
import runpy
import sys

from support import commands

SCRIPTS = str(commands.ROOT / "scripts")


def main():
  sys.path[0] = SCRIPTS  # as of a script that Python starts
  import sklearn.datasets  # noqa: F401

  import train  # noqa: F401
  from kills import runs
  from training import job  # noqa: F401

  for line in sys.stdin:
    script, arguments, folder, out, err = json.loads(line)

    def child():
      os.chdir(folder)  # noqa: B023
      os.dup2(os.open(err, os.O_WRONLY | os.O_CREAT), 2)  # noqa: B023
      sys.argv = [os.path.join(SCRIPTS, script), *arguments]  # noqa: B023
      runpy.run_path(sys.argv[0], run_name="__main__")

    print(runs.wait(runs.fork(child, out)), flush=True)


if __name__ == "__main__":
  main()
