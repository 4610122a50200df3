"""A run that judges, validates and saves between its epochs, to be cut off."""

import kernels
import trainloop
from support import interruption, small

STEPS = 48  # 4 epochs of 12


def make(workdir, **options):
  """A loop whose windows, validations and checkpoints end at different steps.

  Args:
    workdir: of the run.
    **options: of the loop, in place of these.
  """
  return small.loop(
    small.model(rich=True),
    workdir=workdir,
    schedule=kernels.OneCycle(0.05, STEPS),
    early_stopping=trainloop.EarlyStopping("val_loss", patience=3),
    steps_per_loop=5,
    **{
      "checkpoint_every": "7st",
      "validate_every": "8st",
      "compile": "graph",
      **options,
    },
  )


def fit(loop, data=None, epochs=4):
  """The loop's fit with the small data, or with others; its `History`."""
  data = small.data() if data is None else data
  return loop.fit(data, epochs, validation=small.validation())


def cut_off(workdir, windows, data=None, epochs=4, **options):
  """The fit in a workdir until just behind window number `windows`."""
  interruption.cut_after(
    windows, lambda: fit(make(workdir, **options), data, epochs)
  )
