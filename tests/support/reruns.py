"""One traced loop that runs in one workdir after another."""

import dataclasses
import itertools
import shutil

import kernels
import trainloop
from support import interruption, small, workdirs
from trainloop.model import snapshot

STEPS = 48  # 4 epochs of 12


class Reruns:
  """Runs of the same fit, each in a workdir of its own, as new processes have
  them: from the initial state, or from what the workdir holds.

  Args:
    folder: for the workdirs.
    net: the model; None for the rich small one.
    epochs: of each fit.
    validation: a function that gives its validation data, or None.
    **options: of the loop, beside those of a run that judges and saves.
  """

  def __init__(
    self, folder, net=None, epochs=4, validation=small.validation, **options
  ):
    self._folder, self.told = folder, []
    self._epochs, self._validation = epochs, validation
    options = {
      "schedule": kernels.OneCycle(0.05, STEPS),
      "early_stopping": trainloop.EarlyStopping("val_loss", patience=9),
      "checkpoint_every": "7st",
      "validate_every": "8st",
      "steps_per_loop": 5,
      "compile": "graph",
      **options,
    }
    self.loop = small.loop(net or small.model(rich=True), **options)
    self._state = self._initial = None
    self._numbers = itertools.count()
    self.cut(self.new(), 0)  # all variables are made
    self._state = snapshot.Snapshot(self.loop.trainee.moved())
    self._initial = self._state.take()

  def new(self, template=None):
    """A workdir: a copy of another, or one that is not there yet."""
    workdir = self._folder / str(next(self._numbers))
    if template is not None:
      shutil.copytree(template, workdir, symlinks=True)
    return workdir

  def fit(self, workdir, data=None):
    """The fit in a workdir, from its beginning or going on; its `History`.

    `told` holds the warnings.

    Args:
      workdir: of the run.
      data: what it trains with; None for the small arrays.
    """
    fits, self.told = self.loop._fits, []
    if self._state is not None:
      self._state.put_back(self._initial)
    progress = fits.host.progress
    progress.warn = self.told.append
    self.loop._fits = dataclasses.replace(
      fits,
      host=dataclasses.replace(
        fits.host,
        options=dataclasses.replace(fits.host.options, workdir=str(workdir)),
      ),
      records=None,
      schedule=None,
      history=None,
    )
    data = small.data() if data is None else data
    return self.loop.fit(data, self._epochs, validation=self._validation())

  def cut(self, workdir, windows):
    """The fit in a workdir up to so many windows, as a kill leaves it."""
    interruption.cut_before(windows, lambda: self.fit(workdir))
    return workdir

  def on_window(self, step, act):
    """A context in which `act()` is called before the window from `step`."""

    def before(edge):
      if edge.done == step:
        edge.wait_for_save()
        act()

    return interruption.windows(before)

  def outcome(self, workdir, history):
    """All that must be equal: {what: bytes or text}."""
    return {
      "state": small.state_of(self.loop),
      "rows": {n: v.tobytes() for n, v in history.rows.items()},
      "epochs": str(history.epochs),
      "reason": history.stop_reason,
      "best": self.loop.best,
      "events": workdirs.series(workdir),
    }
