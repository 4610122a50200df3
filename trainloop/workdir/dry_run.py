"""The plan of a run that has not begun, in its workdir."""

import os
import time

import numpy as np

from kernels import checks
from trainloop.workdir import claims, planned, row_journal, run_files, run_names
from trainloop.workdir.tensorboard import event_file


def write(workdir, schedule, steps, momentum=None, groups=None):
  """Writes run `plan`, as TensorBoard shows it; the run itself replaces it.

  Args:
    workdir: the run's folder, made if missing.
    schedule: a `kernels.Schedule`.
    steps: updates of the run, int >= 1.
    momentum: the optimizer's own as a float, where the schedule has none; or
      None.
    groups: the model's `Groups`, or None.

  Returns:
    The `Outline` that was written; None for a folder that holds a run already.

  Raises:
    ValueError: if the workdir or the steps break their rule.
    OSError: if the disk does not take it.
  """
  workdir = claims.path_of(workdir)
  checks.integer("steps", steps, 1)
  claims.check(workdir)
  if row_journal.exists(workdir):
    return None
  curve = planned.curve(schedule, 0, steps, momentum, groups)
  folder = os.path.join(workdir, "plan")
  for path in filter(run_names.is_dry, run_names.events(workdir)):
    run_files.remove(os.path.join(workdir, path))
  times = np.full(len(curve.steps), time.time())
  tags, table = event_file.plan(curve)
  event_file.write_run(folder, times, curve.steps, tags, table, dry=True)
  return curve
