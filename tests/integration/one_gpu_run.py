"""A script of `scripts/` on a machine that is told to have one GPU.

python one_gpu_run.py train.py --workdir=...
"""

import pathlib
import runpy
import sys

import devices_run

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts"

if __name__ == "__main__":
  devices_run.told_of_a_gpu()
  sys.argv = sys.argv[1:]
  sys.path.insert(0, str(SCRIPTS))
  runpy.run_path(str(SCRIPTS / sys.argv[0]), run_name="__main__")
