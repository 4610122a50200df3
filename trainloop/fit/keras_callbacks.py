"""Keras callbacks that only read, called as `Model.fit` would call them."""

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
  "ProgbarLogger": "`verbose=`",
}
# What is called here, and by position, as Keras does, with what.
_CALLED = {
  "set_model": ("model",),
  "set_params": ("params",),
  "on_train_begin": ("logs",),
  "on_train_end": ("logs",),
  "on_epoch_begin": ("epoch", "logs"),
  "on_epoch_end": ("epoch", "logs"),
}
# Updates run n at a time in the graph; validation is one call.
_NEVER_CALLED = (
  "on_batch_begin",
  "on_batch_end",
  "on_train_batch_begin",
  "on_train_batch_end",
  "on_test_begin",
  "on_test_end",
  "on_test_batch_begin",
  "on_test_batch_end",
)


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
    method = getattr(callback, name)
    own = getattr(keras.callbacks.Callback, name)
    if getattr(method, "__func__", method) is not own:
      rule = f"without {name}, which is never called here; see `on_window=`"
      checks.fail("callbacks", kind, rule)
  for name, arguments in _CALLED.items():
    rule = f"a method that takes ({', '.join(arguments)}), as Keras calls it"
    method = getattr(callback, name)
    callables.check(f"{kind}.{name}", method, *arguments, rule=rule)


class Callbacks:
  """Keras callbacks on one loop's model; the calls are those of `Model.fit`.

  Epochs count from 0 and over all fits of a run, as with `initial_epoch`.

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
      callback.set_params(params)
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
