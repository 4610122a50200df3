"""The training job that train.py's flags describe."""

import functools
import hashlib
import os

import keras

import trainloop
from cli import (
  average_flag,
  flag_rules,
  hyperparameter_flags,
  run_flags,
  table_flags,
  verbosity,
)
from cli.light import output, strict_json
from kernels import combined
from training import datasets, dry_run, export, models, table_options
from trainloop.workdir import run_files, run_names

_SHOWN = 20  # classes in the summary; the files have all


def run(flags, peaks, strategy):
  """Loads, trains, evaluates, and writes the result.

  Args:
    flags: the parsed flags of train.py.
    peaks: {optimizer: default peak rate}.
    strategy: what to run on; of several workers only the chief shows and
      writes.

  Raises:
    ArgumentError, DataError: before the first update, if a flag does not fit.
  """
  data = load(flags)
  train = trainloop.ArrayData(
    data.x_train, data.y_train, batch_size=flags.batch_size, seed=flags.seed
  )
  valid = trainloop.ArrayData(data.x_val, data.y_val, batch_size=1000)
  peak = default_peak(peaks, flags.optimizer, data)
  peak = peak if flags.peak_lr is None else flags.peak_lr
  steps = max(1, train.steps_per_epoch)
  schedule = run_flags.schedule(steps, peak)
  if flags["momentum"].present and schedule.moves_momentum:
    text = f"--momentum has no effect: --schedule={flags.schedule} moves it"
    raise datasets.DataError(text)
  _check_profile(flags, steps * flags.epochs)
  loop = _loop(flags, data, schedule, peak, strategy, steps)
  chief = trainloop.devices.collectives.Workers(strategy).is_chief
  if chief:
    _show(data)
  if flags.dry_run:
    loop.check(train, flags.epochs, validation=valid)
    if chief:
      total = steps * flags.epochs
      output.line(f"run: {flags.epochs} epochs of {steps} steps: {total}")
      output.line(f"schedule: {schedule}")
      _plan(flags, data, schedule, peak, steps)
    return
  if flags.workdir and chief:
    export.check(flags.workdir, flags.export)
  history = run_flags.fit(loop, train, valid)
  if _is_done(flags.workdir, loop, history):
    if chief:
      output.line(f"nothing to do; see {_result_path(flags.workdir)}")
    return _check_trained(history)
  scores = loop.evaluate(valid)
  if chief:
    result = _result(loop, history, scores, data)
    verbosity.show(strict_json.report(result["metrics"]))
    if flags.workdir:
      _write(flags, data, loop.model, result)
  return _check_trained(history)


def _plan(flags, data, schedule, peak, steps):
  """What --dry_run shows and writes beside the data and the length."""
  moves = hyperparameter_flags.make(steps)
  schedule = combined.beside(schedule, moves["schedules"])

  def make():
    model = model_maker(flags, data)()
    if not model.built:
      model(data.x_train[:1])
    return model

  own = optimizer(flags, flags.optimizer, peak, data)
  binding = dry_run.bound(own, schedule, moves["groups"], make)
  dry_run.run(flags, schedule, steps, binding)


def _check_trained(history):
  """Ends the program with a failure where no update was applied."""
  if history.stop_reason == "all_skipped":
    flag_rules.stop(
      "no update was applied: none was finite; try a lower --peak_lr, or "
      "--on_nonfinite=raise, which names the first",
      code=1,
    )


def _check_profile(flags, total):
  """Refuses a profile of steps that the run has not."""
  if flags.profile and int(flags.profile.partition(":")[2]) > total:
    rule = f"within the run's {total} steps"
    raise datasets.DataError(f"--profile must be {rule}; got {flags.profile!r}")


def load(flags):
  """The `datasets.Data` that the flags name."""
  return datasets.load(
    flags.dataset,
    flags.data_path,
    flags.validation_fraction,
    flags.num_words,
    flags.max_length,
    flags.task,
    table_options.Options(**table_flags.values()),
  )


def model_maker(flags, data):
  """A callable that makes the model that the flags describe."""
  return models.maker(
    flags.model,
    data,
    flag_rules.read_numbers(flags.hidden, int),
    flag_rules.read_numbers(flags.filters, int),
    flags.dropout,
    flags.num_words,
    flags.embedding_dim,
  )


def metrics(data):
  """Names of the metrics for a `datasets.Data`."""
  return ["accuracy"] if data.task == "classification" else ["mae"]


def _loop(flags, data, schedule, peak, strategy, steps):
  return trainloop.TrainLoop(
    model_maker(flags, data),
    lambda: optimizer(flags, flags.optimizer, peak, data),
    data.loss,
    schedule=schedule,
    metrics=metrics(data),
    strategy=strategy,
    bias_correction=flags.bias_correction,
    **run_flags.options(steps),
  )


def default_peak(peaks, name, data):
  """The peak rate that suits an optimizer on some `datasets.Data`.

  A squared error's slope has no bound: where SGD learns classes at 0.1, it
  runs away on the outliers of a regression's table.
  """
  regression = name == "sgd" and data.task == "regression"
  return peaks[name] / (10 if regression else 1)


def optimizer(flags, name, peak, data):
  """A Keras optimizer by its name, with a learning rate.

  On a table of the user's own SGD's gradients are clipped unless --clip_norm
  says otherwise: one row with a value far out would end the run. Schedule-free
  training wants one without momentum.
  """
  kind = type(keras.optimizers.get(name))
  clip = flags.clip_norm
  is_table = name == "sgd" and data.moments is not None
  if clip is None and is_table and not hyperparameter_flags.clipping():
    clip = 1.0
  kind = functools.partial(kind, global_clipnorm=clip or None)
  is_free = average_flag.is_schedule_free()
  if is_free and name in ("adam", "adamw"):
    return kind(peak, beta_1=0.0)
  if name in ("sgd", "rmsprop"):
    own = 0.0 if is_free else 0.9
    momentum = own if flags.momentum is None else flags.momentum
    extra = (
      {"nesterov": flags.nesterov and momentum > 0} if name == "sgd" else {}
    )
    return kind(peak, momentum=momentum, **extra)
  return kind(peak)


def _show(data):
  """What is trained on; the loop says the rest."""
  held = len(data.x_val)
  kind = f"{data.task}, {data.outputs} output{'s' * (data.outputs > 1)}"
  text = f"{len(data.x_train)} examples, {held} held out; {kind}"
  verbosity.show(f"{'data':<10}{text}")
  if data.table is not None:
    table = data.table
    text = f"{len(table.numbers)} of numbers ({len(table.flags)} with missing "
    text = f"{text}values: mean and a flag), {len(table.words)} of words"
    verbosity.show(f"{'columns':<10}{text}")
  if data.own and data.classes:
    some = map(_in_a_line, data.classes[:_SHOWN])
    pairs = [f"{i} = {one}" for i, one in enumerate(some)]
    more = ["..."] * (len(data.classes) > _SHOWN)
    verbosity.show(f"{'classes':<10}{', '.join([*pairs, *more])}")
  if data.task == "regression":
    mean, scale = (
      " ".join(f"{value:.4g}" for value in part)
      for part in (data.mean, data.scale)
    )
    text = (
      f"less {mean}, over {scale}; so are loss and mae, not the saved model"
    )
    verbosity.show(f"{'targets':<10}{text}")


def _in_a_line(label):
  """A class's name without what would break or end a line."""
  return label if label.isprintable() else repr(label)[1:-1]


def _result(loop, history, metrics, data):
  steps = len(history.rows["step"])
  digest = hashlib.sha256()
  for weight in loop.model.get_weights():
    digest.update(weight.tobytes())
  classes = {"classes": data.classes} if data.own and data.classes else {}
  columns = {} if data.table is None else {"columns": data.table.names}
  return {
    "stop_reason": history.stop_reason,
    "steps": steps,
    "epochs": len(history.epochs["epoch"]),
    "metrics": metrics,
    **classes,
    **columns,
    "best": loop.best,
    "weights_sha256": digest.hexdigest(),
    "resumed_from": loop.resumed_from,
    "seconds": round(loop.seconds, 3),
    "steps_per_second": round(steps / loop.seconds, 1),
  }


def _is_done(workdir, loop, history):
  """Whether an earlier process wrote the result; as the chief sees it."""
  done = history.restored and os.path.exists(_result_path(workdir))
  return bool(loop.trainee.workers.gather([done])[0, 0])


def _result_path(workdir):
  return os.path.join(workdir, run_names.RESULT)


def _write(flags, data, model, result):
  """Model, classes and result.json, each complete or not there at all."""
  workdir = flags.workdir
  with verbosity.startup():  # SavedModel's writer tells of its every step
    written = export.write(workdir, data.in_units(model), flags.export)
  if "classes" in result:
    lines = "".join(f"{_in_a_line(one)}\n" for one in data.classes)
    _write_text(workdir, run_names.CLASSES, lines)
    written.append(run_names.CLASSES)
  report = strict_json.report(result, indent=2) + "\n"
  _write_text(workdir, run_names.RESULT, report)
  names = ", ".join(written)
  names = f"{names} and " if names else ""
  verbosity.show(f"wrote {names}result.json")


def _write_text(workdir, name, text):
  with (
    run_files.result(workdir, name) as part,
    open(part, "w", encoding="utf-8") as file,
  ):
    file.write(text)
