"""What a test does around the windows of a fit, and where it cuts a run off.

The one place that knows the method of the pipeline that runs a window.
"""

import contextlib
import itertools
import typing

import pytest

from trainloop.fit.pipeline import Pipeline

_PIPELINE, _WINDOW = Pipeline, "_window"


class Edge(typing.NamedTuple):
  """Where a window begins or ends.

  Attributes:
    done: updates done.
    pipeline: the pipeline that runs the window.
  """

  done: int
  pipeline: typing.Any

  def wait_for_save(self):
    """Returns once the checkpoint that is being written is on the disk."""
    self.pipeline._boundary._records._saver.wait()


@contextlib.contextmanager
def windows(before=None, after=None):
  """A context in which functions are called around each window of all fits.

  Args:
    before: called with the `Edge` at which a window begins, or None.
    after: called with the `Edge` at which it has ended, or None. Its rows may
      not be written yet.
  """
  plain = getattr(_PIPELINE, _WINDOW)

  def window(pipeline, done):
    if before is not None:
      before(Edge(done, pipeline))
    end = plain(pipeline, done)
    if after is not None:
      after(Edge(end, pipeline))
    return end

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(_PIPELINE, _WINDOW, window)
    yield


def die(*edge):
  """Leaves a fit as Ctrl-C does."""
  raise KeyboardInterrupt


def cut_before(count, run):
  """Calls `run`, whose fits are left in place of their next window after
  `count` of them, counted over all fits."""
  numbers = itertools.count()
  with (
    windows(before=lambda edge: next(numbers) >= count and die()),
    pytest.raises(KeyboardInterrupt),
  ):
    run()


def cut_after(count, run):
  """Calls `run`, whose fits are left just behind window number `count`."""
  numbers = itertools.count(1)
  with (
    windows(after=lambda edge: next(numbers) == count and die()),
    pytest.raises(KeyboardInterrupt),
  ):
    run()


def cut_at(step, run):
  """Calls `run`, whose fits are left in place of the first window that begins
  at a step or behind it."""
  with (
    windows(before=lambda edge: edge.done >= step and die()),
    pytest.raises(KeyboardInterrupt),
  ):
    run()
