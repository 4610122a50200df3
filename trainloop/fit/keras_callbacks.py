"""Keras callbacks that only read, called as `Model.fit` would call them."""

import itertools

import keras

from kernels import callables, checks
from trainloop.workdir import optimizer_config

# What to use here in place of a callback that changes or steers training.
_INSTEAD = {
  "LearningRateScheduler": "`schedule=`",
  "ReduceLROnPlateau": "`reduce_on_plateau=trainloop.ReduceOnPlateau(...)`",
  "EarlyStopping": "`early_stopping=trainloop.EarlyStopping(...)`",
  "BackupAndRestore": "`workdir=`",
  "ModelCheckpoint": "`workdir=`, or `on_epoch=` with `model.save`",
  "SwapEMAWeights": "`average=trainloop.EMA(...)`, which is what is validated, "
  "judged and left in the model",
  "TerminateOnNaN": "`on_nonfinite=`",
  "TensorBoard": "`workdir=`",
}
# What is called here, and by position, as Keras does, with what.
_CALLED = {
  "set_model": ("model",),
  "set_params": ("params",),
  "on_train_begin": ("logs",),
  "on_train_end": ("logs",),
  "on_epoch_begin": ("epoch", "logs"),
  "on_epoch_end": ("epoch", "logs"),
  "on_train_batch_begin": ("batch", "logs"),
  "on_train_batch_end": ("batch", "logs"),
  "on_test_begin": ("logs",),
  "on_test_end": ("logs",),
}
# What Keras' own on_train_batch_begin and on_train_batch_end call.
_BATCHES = (
  "on_batch_begin",
  "on_batch_end",
  "on_train_batch_begin",
  "on_train_batch_end",
)
# Validation is one call.
_NEVER_CALLED = ("on_test_batch_begin", "on_test_batch_end")
# Its hooks of a validation's batches do nothing in a fit.
_UNMOVED = keras.callbacks.ProgbarLogger


def adopt(callbacks):
  """The `Callbacks` of some Keras callbacks, or None if there are none.

  Args:
    callbacks: keras.callbacks.Callback objects, a list or tuple; or None.

  Raises:
    ValueError: naming one that can't be served, and what to use instead.
  """
  if callbacks is None:
    return None
  if not isinstance(callbacks, (list, tuple)):
    kind = type(callbacks).__name__
    checks.fail("callbacks", kind, "a list of keras.callbacks.Callback")
  for callback in callbacks:
    _check(callback)
  return Callbacks(callbacks) if callbacks else None


def _check(callback):
  """Refuses a callback that changes training, or waits for other calls."""
  kind = type(callback).__name__
  if not isinstance(callback, keras.callbacks.Callback):
    checks.fail("callbacks", kind, "a list of keras.callbacks.Callback")
  for name, instead in _INSTEAD.items():
    if isinstance(callback, getattr(keras.callbacks, name)):
      checks.fail("callbacks", kind, f"some that only read; use {instead}")
  for name in _NEVER_CALLED:
    if _has_own(callback, name) and not isinstance(callback, _UNMOVED):
      rule = f"without {name}, which is never called here; see `on_window=`"
      checks.fail("callbacks", kind, rule)
  for name, arguments in _CALLED.items():
    rule = f"a method that takes ({', '.join(arguments)}), as Keras calls it"
    method = getattr(callback, name)
    callables.check(f"{kind}.{name}", method, *arguments, rule=rule)


def _has_own(callback, name):
  """Whether it has a hook that is not the one of Keras that does nothing."""
  method = getattr(callback, name)
  own = getattr(keras.callbacks.Callback, name)
  return getattr(method, "__func__", method) is not own


class Callbacks:
  """Keras callbacks on one loop's model; the calls are those of `Model.fit`.

  Epochs count from 0 and over all fits of a run, as with `initial_epoch`.
  Hooks of batches come once a window, as under `steps_per_execution`.

  Args:
    callbacks: keras.callbacks.Callback objects, checked.
  """

  def __init__(self, callbacks):
    self._callbacks, self._model = callbacks, None
    self._logs = {}

  @property
  def stop_requested(self):
    """Whether one of them has set `model.stop_training`."""
    return self._model is not None and bool(self._model.stop_training)

  @property
  def at_windows(self):
    """Whether one of them has a hook of batches now: some get it late."""
    pairs = itertools.product(self._callbacks, _BATCHES)
    return any(_has_own(callback, name) for callback, name in pairs)

  def window_begins(self, index):
    """on_train_batch_begin: the index in its epoch of a window's first update,
    from 0."""
    self._call("on_train_batch_begin", index, {})

  def window(self, index, logs):
    """on_train_batch_end.

    Args:
      index: of the window's last update in its epoch, from 0.
      logs: {name: float}.
    """
    self._call("on_train_batch_end", index, dict(logs))

  def validation_begins(self):
    """on_test_begin."""
    self._call("on_test_begin", {})

  def validation_ends(self, logs):
    """on_test_end, with {name: float} of the validation."""
    self._call("on_test_end", dict(logs))

  def begin(self, model, params, epoch):
    """on_train_begin, and on_epoch_begin of the epoch that goes on.

    Args:
      model: the keras.Model.
      params: {"epochs", "steps", "verbose"}, as Keras calls them.
      epoch: from 0.
    """
    self._model, self._logs = model, {}
    for callback in self._callbacks:
      callback.set_model(model)
    for callback in self._callbacks:
      is_bar = isinstance(callback, keras.callbacks.ProgbarLogger)
      callback.set_params({**params, "verbose": 1} if is_bar else params)
    model.stop_training = False
    self._call("on_train_begin", {})
    self._call("on_epoch_begin", epoch, {})

  def epoch(self, epoch, logs, goes_on):
    """on_epoch_end, and on_epoch_begin of the next one if there is one."""
    self._logs = dict(sorted(logs.items()))  # in the order that Keras has
    self._call("on_epoch_end", epoch, dict(self._logs))
    if goes_on and not self.stop_requested:
      self._call("on_epoch_begin", epoch + 1, {})

  def end(self):
    """on_train_end, with the logs of the last epoch."""
    self._call("on_train_end", dict(self._logs))

  def _call(self, method, *arguments):
    """Calls each; an optimizer that was changed is an error.

    The loop puts each update's learning rate into the update itself: a value
    that a callback leaves in the optimizer would not be seen.
    """
    before = optimizer_config.of(self._model.optimizer)
    for callback in self._callbacks:
      getattr(callback, method)(*arguments)
      after = optimizer_config.of(self._model.optimizer)
      for name, value in before.items():
        if after.get(name) != value:
          kind = f"{type(callback).__name__}.{method}"
          rule = f"one that leaves the optimizer's {name} to `schedule=`"
          checks.fail("callbacks", kind, rule)
