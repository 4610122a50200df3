"""Runs several examples in forks of one process that imported TensorFlow once.

  python examples.py FOLDER NAME FLAG... , NAME FLAG... , ...

Their output goes to FOLDER/NAME.out; ends with the worst exit code.
"""

import importlib
import os
import sys
import traceback

from support import commands


def split(arguments):
  """[[name, flag, ...], ...] of what commas separate."""
  found = [[]]
  for one in arguments:
    if one == ",":
      found.append([])
    else:
      found[-1].append(one)
  return found


def child(folder, name, arguments):
  """What a fork does: the example's own main, as `app.run` calls it."""
  output = os.open(os.path.join(folder, f"{name}.out"),
                   os.O_WRONLY | os.O_CREAT | os.O_APPEND)  # fmt: skip
  os.dup2(output, 1)
  os.dup2(output, 2)
  code = 1
  try:
    from absl import flags

    script = importlib.import_module(name)
    sys.argv = [script.__file__, *arguments]
    script.define_flags()
    flags.FLAGS(sys.argv)
    script.main(sys.argv[:1])
    code = 0
  except SystemExit as error:
    code = error.code or 0
  except BaseException:
    traceback.print_exc()
  finally:
    sys.stdout.flush()
    os._exit(code)


def main(folder, *arguments):
  sys.path.insert(0, str(commands.ROOT / "scripts" / "examples"))
  sys.path.insert(1, str(commands.ROOT / "scripts"))
  import keras  # noqa: F401
  import sklearn.datasets  # noqa: F401

  import trainloop  # noqa: F401

  worst = 0
  for name, *given in split(arguments):
    pid = os.fork()
    if pid == 0:
      child(folder, name, given)
    worst = max(worst, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
  return worst


if __name__ == "__main__":
  sys.exit(main(*sys.argv[1:]))
