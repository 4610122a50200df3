"""The plan of a run that has not begun, in its workdir."""

import os
import time

import numpy as np

import kernels
from kernels import checks
from trainloop import journal, make, tensorboard


def write(workdir, schedule, steps, momentum=None):
  """Writes run `plan`, as TensorBoard shows it; the run itself replaces it.

  Args:
    workdir: the run's folder, made if missing.
    schedule: a `kernels.Schedule`.
    steps: updates of the run, int >= 1.
    momentum: the optimizer's own as a float, where the schedule has none; or
      None.

  Returns:
    Whether it was written: not into a folder that holds a run already.

  Raises:
    ValueError: if the workdir or the steps break their rule.
    OSError: if the disk does not take it.
  """
  workdir = make.workdir(workdir)
  checks.integer("steps", steps, 1)
  if journal.RowJournal(workdir).exists():
    return False
  rates, momenta = kernels.tabulate(schedule, steps)
  if momenta is None:
    own = np.nan if momentum is None else momentum
    momenta = np.full_like(rates, own)
  folder = os.path.join(workdir, "plan")
  for name in os.listdir(folder) if os.path.isdir(folder) else ():
    if tensorboard.is_dry(name):
      os.remove(os.path.join(folder, name))
  times = np.full(steps, time.time())
  table = np.stack([rates, momenta], axis=1)
  tags = tensorboard.TAGS[:2]
  tensorboard.write_run(folder, times, 0, tags, table, dry=True)
  return True
