"""A script of `scripts/` on a machine that is told to have one GPU.

python one_gpu.py train.py --workdir=...
"""

import runpy
import sys

from support import commands
from support.processes import devices

SCRIPTS = commands.ROOT / "scripts"

if __name__ == "__main__":
  devices.told_of_a_gpu()
  sys.argv = sys.argv[1:]
  sys.path.insert(0, str(SCRIPTS))
  runpy.run_path(str(SCRIPTS / sys.argv[0]), run_name="__main__")
