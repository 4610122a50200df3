"""Checks before step 1 on what a fit is given, beside model and targets."""

import os
import tempfile

from kernels import checks


def check_batch_size(source):
  """Refuses a training set smaller than one batch."""
  if source.steps_per_epoch == 0:
    rule = f"at most {source.num_examples}, the number of examples"
    checks.fail("batch_size", source.batch_size, rule)


def check_overrun(schedule, steps):
  """Refuses a run longer than a schedule that must not overrun."""
  if not schedule.overrun and steps > schedule.total_steps:
    rule = f"a schedule of at least {steps} steps, the length of the run"
    checks.fail("schedule", schedule, rule)


def check_monitors(monitors, names):
  """Refuses monitors that no metric feeds; lists those there are."""
  known = [*names, *(f"val_{name}" for name in names)]
  for monitor in monitors:
    checks.choice("monitor", monitor, known)


def check_validation(monitors, validation, every, total):
  """Refuses a run whose judges would never see a validation.

  Args:
    monitors: names of the metrics that decide something.
    validation: a data source, or None.
    every: updates between validations.
    total: updates of the run.
  """
  for monitor in monitors:
    if monitor.startswith("val_") and validation is None:
      rule = f"given, because `{monitor}` is monitored"
      checks.fail("validation", None, rule)
  if every > total and (monitors or validation is not None):
    checks.fail("validate_every", every, f"at most the run's {total} steps")


def check_workdir(workdir):
  """Refuses a workdir that can't be written; leaves nothing behind."""
  parent = os.path.abspath(workdir)
  while not os.path.lexists(parent):
    parent = os.path.dirname(parent)
  try:  # what permissions say is void for root and on a read-only disk
    with tempfile.TemporaryDirectory(dir=parent):
      pass
  except OSError:
    checks.fail("workdir", str(workdir), f"writable ({parent} is not)")
