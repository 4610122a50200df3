"""What can be read of a loop at any time."""

from trainloop.devices import entry


class LoopView:
  """The properties of a `TrainLoop`, which sets `_fits`, its `Fits`."""

  _fits = None

  @entry.guarded
  def check(self, data, epochs, *, validation=None, schedule=None):
    """What `fit` would refuse before it compiles; trains and writes nothing.

    Args:
      data, epochs, validation, schedule: as in `TrainLoop.fit`.

    Raises:
      ValueError: in one line, as `fit` would.
    """
    self._fits.admit(data, epochs, validation, schedule, None, None)

  @property
  def model(self):
    """The keras.Model."""
    return self.trainee.model

  @property
  def optimizer(self):
    """The Keras optimizer."""
    return self.trainee.binding.optimizer

  @property
  def trainee(self):
    """The `Trainee`: model, optimizer, objective and state."""
    return self._fits.trainee

  @property
  def programs(self):
    """The `Programs` that are compiled for it."""
    return self._fits.programs

  @property
  def global_step(self):
    """Global batches consumed so far, int."""
    state = self.trainee.state
    return 0 if state is None else int(state.global_step.numpy())

  @property
  def best(self):
    """{"monitor", "value", "step", "epoch"} of the best validation, or {}."""
    state = self.trainee.state
    return {} if state is None else state.judge.best

  @property
  def engine(self):
    """The `Engine` that compiles the updates; None before the first data."""
    return self.programs.engine

  @property
  def traces(self):
    """How often a training window was traced (and compiled) so far."""
    return self.programs.traces

  @property
  def seconds(self):
    """Time spent in finished fits, over all processes of the run."""
    return getattr(self._fits.records, "seconds", 0.0)

  @property
  def resumed_from(self):
    """Global steps at which the run in the workdir went on after an end."""
    return list(getattr(self._fits.records, "resumed_from", ()))

  @property
  def history(self):
    """The `History` of the last fit, also of one that an error ended."""
    return self._fits.history
