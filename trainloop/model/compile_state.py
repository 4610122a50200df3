"""What `Model.compile` sets in a model, saved and put back for each loop."""

import contextlib
import weakref

from kernels import callables, checks

# Private: nothing public takes it out of a model or puts it back.
# `test_compile_state.py` notices if Keras compiles into other attributes.
STATE = (
  "optimizer",
  "loss",
  "_compile_loss",
  "_compile_metrics",
  "_compile_config",
  "_compiled_trainable_state",
  "_jit_compile",
  "_loss_tracker",
  "_run_eagerly",
  "compiled",
  "steps_per_execution",
  "train_function",
  "test_function",
  "predict_function",
)
# It leaves these as they are where it is given none.
_KEPT = ("_compile_loss", "_compile_metrics")
_LEFT_OUT = object()
_made = weakref.WeakSet()  # losses and metrics that loops have compiled


class Compilation:
  """A model compiled for one loop.

  The model stays compiled so, unless `puts_back`. If its user or another loop
  compiles it later, this loop keeps its own state, and does not undo theirs.

  Args:
    model: a keras.Model.
    puts_back: whether the model is left as it was.
    **options: what `Model.compile` takes.
  """

  def __init__(self, model, puts_back, **options):
    self._model = model
    _check(model, options)
    before, self._others = self._read(), []
    try:
      self._write(_without_loops(before))
      model.compile(**options)
    except BaseException:
      self._write(before)
      raise
    self._own = self._read()
    _made.update(one for one in map(self._own.get, _KEPT) if one is not None)
    if puts_back:
      self._write(before)

  @contextlib.contextmanager
  def put_in(self):
    """A context in which the model computes this loop's loss and metrics."""
    self._others.append(self._read())
    self._write(self._own)
    try:
      yield
    finally:
      self._write(self._others.pop())

  def put_in_again(self):
    """After a user's code: if that compiled the model, puts this loop's state
    in again; the user's comes back at the end of `put_in`."""
    now = self._read()
    if now["_compile_config"] is not self._own["_compile_config"]:
      self._others[-1] = now
      self._write(self._own)

  def _read(self):
    known = vars(self._model)
    return {name: known.get(name, _LEFT_OUT) for name in STATE}

  def _write(self, values):
    # Not by setattr: Keras would track what it finds there as layers.
    known = vars(self._model)
    for name, value in values.items():
      if value is _LEFT_OUT:
        known.pop(name, None)
      else:
        known[name] = value


def _check(model, options):
  """Refuses a model whose own `compile` takes other arguments."""
  if not callables.takes(model.compile, **options):
    names = ", ".join(sorted(options))
    rule = f"one whose `compile` takes {names}, as Keras' does: give several "
    rule += "optimizers as a dict, and losses by `step`"
    checks.fail("model", type(model).__name__, rule)


def _without_loops(state):
  """A model's state without losses and metrics that were another loop's."""
  found = dict(state)
  if state["_compile_loss"] in _made:
    found["_compile_loss"] = found["loss"] = None
  if state["_compile_metrics"] in _made:
    found["_compile_metrics"] = None
  return found
