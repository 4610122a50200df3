"""A profile of some updates, which TensorBoard's profiler opens."""

import contextlib
import os
import re

import tensorflow as tf

from kernels import checks
from trainloop.base import output
from trainloop.workdir import run_files
from trainloop.workdir.checkpoints.files import DISK_TROUBLE, reason


def parse(text):
  """(first, last): the global steps [first, last) of "100:120".

  Raises:
    ValueError: if it is something else, or no step.
  """
  rule = 'two global steps such as "100:120", the first one less'
  match = re.fullmatch(r"(\d+):(\d+)", text) if isinstance(text, str) else None
  steps = (int(match[1]), int(match[2])) if match else (0, 0)
  if steps[0] >= steps[1]:
    checks.fail("profile", text, rule)
  return steps


class Profile:
  """Runs TensorFlow's profiler around the windows of some updates.

  Windows must end at both ends of the range. A fit that goes on inside it
  profiles what is left.

  Args:
    folder: of the run; its `plugins/profile` gets the files.
    steps: the global steps (first, last); see `parse`.
    tell: called with a line where the profiler fails, which ends no run.
  """

  def __init__(self, folder, steps, tell=output.line):
    self._folder, (self._first, self._last) = folder, steps
    self._tell, self._running = tell, False

  def before(self, step):
    """Before the window from a step."""
    if self._first <= step < self._last and not self._running:
      plugins = os.path.join(self._folder, "plugins")
      for folder in (self._folder, plugins, os.path.join(plugins, "profile")):
        run_files.folder(folder)
      with self._as_warning():
        tf.profiler.experimental.start(self._folder)
        self._running = True

  def after(self, step):
    """After the window that came to a step."""
    if step >= self._last:
      self.stop()

  def stop(self):
    """Ends a profile that runs, and writes it."""
    if self._running:
      self._running = False
      with self._as_warning():
        tf.profiler.experimental.stop()

  @contextlib.contextmanager
  def _as_warning(self):
    try:
      yield
    except DISK_TROUBLE as error:
      self._first = self._last  # it is not tried again
      self._tell(f"warning: no profile is written ({reason(error)})")


def of(workdir, steps, tell=output.line):
  """The `Profile` of a run's global steps; without a folder or steps, none."""
  if workdir is None or steps is None:
    return Profile(None, (0, 0))
  return Profile(os.path.join(workdir, "train"), steps, tell)
