"""Exclusive calls: only one at a time may change a model.

Two calls that move the same weights, slots or metrics at once, in two threads
or one inside the other, would leave neither's result. So a call takes its loop
and all that loops may share, layers, optimizer and metrics, for as long as it
lasts; another one is refused. Only a call that puts everything back, as an
evaluation, may run inside another one, while that runs its user's code.
"""

import contextlib
import dataclasses
import functools
import threading

import tensorflow as tf

from kernels import checks
from trainloop.model import compile_state

_lock = threading.Lock()
_holders = {}  # by id of what is held: its `_Turn`


@dataclasses.dataclass(eq=False)
class _Turn:
  """A call that is going on.

  Attributes:
    owner: the `Turns` that it is of.
    name: of the function that was called.
    thread: number of the thread that called it.
    reads: whether it puts all back.
    rests: whether its user's code runs, and no update.
  """

  owner: "Turns"
  name: str
  thread: int
  reads: bool = False
  rests: bool = False

  @contextlib.contextmanager
  def resting(self, rests):
    """A context in which `rests` is the argument, and its opposite after."""
    self.rests = rests
    try:
      yield
    finally:
      self.rests = not rests


class Turns:
  """The turns of one loop, whose model it compiles.

  Args:
    model: a keras.Model.
    optimizer: a Keras optimizer.
    metrics, weighted_metrics: Keras metrics as `Model.compile` takes them.
    **options: what else it takes.

  Raises:
    ValueError: if another call has the model, or what `Model.compile` raises.
  """

  def __init__(self, model, optimizer, metrics, weighted_metrics, **options):
    self._model = model
    every = (metrics, weighted_metrics)
    self._shared = [optimizer, *(o for one in every for o in _objects(one))]
    options |= {"optimizer": optimizer, "metrics": metrics}
    options["weighted_metrics"] = weighted_metrics
    with self._hold("TrainLoop", reads=True) as another:
      self._compilation = compile_state.Compilation(model, another, **options)

  @contextlib.contextmanager
  def take(self, name, reads=False):
    """A context in which no other call moves what this one does.

    Args:
      name: of the call, for the error.
      reads: whether all is put back, so that it may come inside another call
        of the same thread that rests.

    Raises:
      ValueError: if another call has it.
    """
    with self._hold(name, reads), self._compilation.put_in():
      yield

  @contextlib.contextmanager
  def _hold(self, name, reads):
    """As `take`, whatever the model is compiled for; gives whether another
    call rests meanwhile."""
    turn = _Turn(self, name, threading.get_ident(), reads)
    # Held while this lasts, so that no id of them comes again.
    things = [self, *self._shared, *self._model._flatten_layers()]
    with _lock:
      holders = {_holders[id(one)] for one in things if id(one) in _holders}
      for holder in holders:
        if not (reads and holder.rests and holder.thread == turn.thread):
          _refuse(turn, holder)
      mine = [id(one) for one in things if id(one) not in _holders]
      _holders.update(dict.fromkeys(mine, turn))
    try:
      with contextlib.ExitStack() as awake:
        for holder in holders:
          awake.enter_context(holder.resting(False))
        yield bool(holders)
    finally:
      with _lock:
        for one in mine:
          del _holders[one]

  @contextlib.contextmanager
  def rest(self):
    """A context in which the user's code runs in this loop's turn."""
    try:
      with _holders[id(self)].resting(True):
        yield
    finally:
      self._compilation.put_in_again()


def _objects(metrics):
  """The metrics that are objects, which others may have, too."""
  return [one for one in tf.nest.flatten(metrics) if hasattr(one, "variables")]


def _refuse(turn, holder):
  """Says why a call must wait."""
  whose = "another loop's with the same layers, optimizer or metrics"
  rule = f"called after the `{holder.name}` that is running has ended"
  if holder.owner is not turn.owner:
    rule += f", {whose}"
  if turn.reads:
    rule += ", or in `on_epoch`"
  inside = holder.thread == turn.thread
  call = "a call inside it" if inside else "a call from another thread"
  raise checks.ArgumentError(f"`{turn.name}` must be {rule}; got {call}")


def one(name, reads=False):
  """A decorator of a function whose first argument has a `Trainee` as
  `trainee`: it takes a turn; see `Turns.take`."""

  def around(function):
    @functools.wraps(function)
    def call(owner, *args, **options):
      with owner.trainee.turns.take(name, reads):
        return function(owner, *args, **options)

    return call

  return around
