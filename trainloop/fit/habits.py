"""What is called as Keras or PyTorch have it: the line to write here."""

import difflib
import functools
import inspect

from kernels import checks

_ARRAYS = "trainloop.ArrayData(x, y, batch_size=32)"
_LOOP = {
  "batch_size": f"given with the data: {_ARRAYS}",
  "callbacks": "given to the loop: TrainLoop(..., callbacks=[...])",
  "class_weights": "written class_weight={0: 1.0, 1: 5.0}, in `fit`",
  "epoch": "written epochs=3, in `fit`",
  "epochs": "given to `fit`: fit(data, epochs=3)",
  "initial_epoch": "left out: TrainLoop(..., workdir='run') goes on by itself",
  "jit_compile": "written compile='xla' or 'graph', in TrainLoop",
  "learning_rate": "in the optimizer, keras.optimizers.SGD(0.1), or a "
  "`schedule`, kernels.Constant(0.1)",
  "log_dir": "written TrainLoop(..., workdir='run')",
  "max_queue_size": "given to the PyDataset",
  "n_epochs": "written epochs=3, in `fit`",
  "run_eagerly": "left out: it runs compiled; `step` holds code of your own",
  "sample_weight": "given with the data: trainloop.ArrayData(x, y, weight, "
  "batch_size=32)",
  "shuffle": "given with the data: trainloop.ArrayData(x, y, batch_size=32, "
  "shuffle=False)",
  "steps": "written dataset.take(n)",
  "steps_per_execution": "written TrainLoop(..., steps_per_loop=n)",
  "validation_batch_size": "given with the data: validation="
  "trainloop.ArrayData(x_val, y_val, batch_size=1000)",
  "validation_data": "written validation=valid, valid = trainloop.ArrayData("
  "x_val, y_val, batch_size=1000)",
  "validation_freq": "written TrainLoop(..., validate_every='2ep')",
  "validation_split": f"written train, valid = {_ARRAYS}.split(0.2), then "
  "fit(train, validation=valid)",
  "validation_steps": "written validation=dataset.take(n)",
  "verbose": "given to the loop: TrainLoop(..., verbose=0)",
  "x": f"in the data: fit({_ARRAYS}, epochs=3)",
  "y": f"in the data: fit({_ARRAYS}, epochs=3)",
}
_SAME = {
  "eval_data": "validation_data",
  "val_data": "validation_data",
  "validation_dataset": "validation_data",
  "logdir": "log_dir",
  "checkpoint_dir": "log_dir",
  "lr": "learning_rate",
  "num_epochs": "n_epochs",
  "use_multiprocessing": "max_queue_size",
  "workers": "max_queue_size",
}


def answered(method):
  """A public method whose calls by others' habits end in one line.

  Raises:
    ValueError: for an argument that it has not, and for more positions than it
      has, with the line to write.
  """
  signature = inspect.signature(method)
  kinds = [one.kind for one in signature.parameters.values()]
  most = kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD)

  @functools.wraps(method)
  def call(*args, **options):
    twice = options.keys() & set(list(signature.parameters)[: len(args)])
    if len(args) > most or twice:
      shown = f"{len(args) - 1} arguments by position"
      checks.fail(method.__name__, shown, _positions(method.__name__))
    for name, value in options.items():
      if name not in signature.parameters:
        _refuse(method.__name__, name, value, signature.parameters)
    return method(*args, **options)

  return call


def _positions(name):
  if name == "__init__":
    return "called as TrainLoop(model, optimizer, loss, schedule=...)"
  epochs = ", epochs=3" if name == "fit" else ""
  return f"called as {name}({_ARRAYS}{epochs})"


def _refuse(method, name, value, known):
  """Says the line, if it is known or another argument is meant."""
  plain = isinstance(value, (int, float, str))
  shown = value if plain else type(value).__name__
  rule = _LOOP.get(_SAME.get(name, name))
  if rule is not None:
    checks.fail(name, shown, rule)
  meant = difflib.get_close_matches(name, [*known][1:], 1, 0.7)
  if meant:
    of = "TrainLoop" if method == "__init__" else f"`{method}`"
    checks.fail(name, shown, f"written `{meant[0]}`, an argument of {of}")
