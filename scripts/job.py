"""The training job that train.py's flags describe."""

import hashlib
import json
import os
import signal

import keras

import datasets
import dry_run
import flag_rules
import judging_flags
import models
import quiet
import schedule_makers
import trainloop

# Flags that say nothing about what is trained.
_ABOUT_FILES = (
  "workdir",
  "dry_run",
  "fresh",
  "overwrite",
  "replan",
  "grace",
  "verbosity",
)


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
  peak = peaks[flags.optimizer] if flags.peak_lr is None else flags.peak_lr
  steps = max(1, train.steps_per_epoch)
  schedule = schedule_makers.make(peak, steps, steps * flags.epochs)
  if flags["momentum"].present and schedule.moves_momentum:
    text = f"--momentum has no effect: --schedule={flags.schedule} moves it"
    raise datasets.DataError(text)
  chief = trainloop.workers.Workers(strategy).is_chief
  if chief:
    _show(data, train)
  if flags.dry_run:
    if chief:
      total = steps * flags.epochs
      print(f"run: {flags.epochs} epochs of {steps} steps: {total}")
      print(f"schedule: {schedule}")
      own = optimizer(flags, flags.optimizer, peak)
      dry_run.run(flags, schedule, steps, own)
    return
  _check_profile(flags, steps * flags.epochs)
  loop = _loop(flags, data, schedule, peak, strategy)
  with trainloop.StopOnSignals(loop.stop, flags.grace) as caught:
    history = loop.fit(train, flags.epochs, validation=valid)
  if history.stop_reason == "preempted":
    again = "the same command goes on" if flags.workdir else "nothing is kept"
    text = f"stopped by a signal after {loop.global_step} steps; {again}"
    # Another worker may have had the signal.
    flag_rules.stop(text, code=caught.exit_code or 128 + signal.SIGTERM)
  if _is_done(flags.workdir, loop, history):
    if chief:
      print(f"nothing to do; see {_result_path(flags.workdir)}")
    return
  found = loop.evaluate(valid)
  if not chief:
    return
  result = _result(loop, history, found)
  quiet.show(json.dumps(result["metrics"]))
  if flags.workdir:
    _write(flags.workdir, loop, result)


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


def _loop(flags, data, schedule, peak, strategy):
  pace = flags.steps_per_loop
  stopping, plateau = judging_flags.make()
  return trainloop.TrainLoop(
    model_maker(flags, data),
    lambda: optimizer(flags, flags.optimizer, peak),
    data.loss,
    schedule=schedule,
    metrics=metrics(data),
    strategy=strategy,
    workdir=flags.workdir,
    steps_per_loop=pace if pace == "auto" else int(pace),
    compile=flags.compile,
    early_stopping=stopping,
    reduce_on_plateau=plateau,
    validate_every=flags.validate_every,
    checkpoint_every=flags.checkpoint_every,
    keep=flags.keep,
    existing=_existing(flags),
    on_nonfinite=_guard(flags),
    bias_correction=flags.bias_correction,
    mixed_precision=_precision(flags),
    accumulate=flags.accumulate,
    log_every=flags.log_every,
    hparams=flag_rules.values(_ABOUT_FILES),
    histograms_every=flags.histograms_every,
    profile=flags.profile,
    log_graph=flags.log_graph,
    resident_mb=flags.resident_mb,
    staging_mb=flags.staging_mb,
    seed=flags.seed,
    verbose=quiet.level(),
  )


def _precision(flags):
  return None if flags.mixed_precision == "none" else flags.mixed_precision


def _guard(flags):
  if flags.on_nonfinite != "rewind":
    return flags.on_nonfinite
  return trainloop.Rewind(flags.rewind_factor, flags.rewind_limit)


def _existing(flags):
  if flags.fresh:
    return "overwrite" if flags.overwrite else "refuse"
  return "replan" if flags.replan else "continue"


def optimizer(flags, name, peak):
  """A Keras optimizer by its name, with a learning rate."""
  kind = type(keras.optimizers.get(name))
  if name in ("sgd", "rmsprop"):
    momentum = 0.9 if flags.momentum is None else flags.momentum
    extra = {"nesterov": flags.nesterov} if name == "sgd" else {}
    return kind(peak, momentum=momentum, **extra)
  return kind(peak)


def _show(data, train):
  """What is trained on; the loop says the rest."""
  held = len(data.x_val)
  kind = f"{data.task}, {data.outputs} output{'s' * (data.outputs > 1)}"
  text = f"{train.num_examples} examples, {held} held out; {kind}"
  quiet.show(f"{'data':<10}{text}")


def _result(loop, history, metrics):
  steps = len(history.rows["step"])
  digest = hashlib.sha256()
  for weight in loop.model.get_weights():
    digest.update(weight.tobytes())
  return {
    "stop_reason": history.stop_reason,
    "steps": steps,
    "epochs": len(history.epochs["epoch"]),
    "metrics": metrics,
    "best": loop.best,
    "weights_sha256": digest.hexdigest(),
    "resumed_from": loop.resumed_from,
    "seconds": round(loop.seconds, 3),
    "steps_per_second": round(steps / loop.seconds, 1),
  }


def _is_done(workdir, loop, history):
  """Whether an earlier process wrote the result; as the chief sees it."""
  done = history.restored and os.path.exists(_result_path(workdir))
  return bool(loop.parts.workers.gather([done])[0, 0])


def _result_path(workdir):
  return os.path.join(workdir, "result.json")


def _write(workdir, loop, result):
  """model.keras and result.json, each complete or not there at all."""
  model = _save_model(workdir, loop.model)
  part = os.path.join(workdir, ".result.json.part")
  with open(part, "w", encoding="utf-8") as file:
    json.dump(result, file, indent=2)
    file.write("\n")
  os.replace(part, _result_path(workdir))
  quiet.show(f"wrote {model} and result.json")


def _save_model(workdir, model):
  """Saves the model, or its weights if it can't be described; the path."""
  for name, save in (
    ("model.keras", model.save),
    ("model.weights.h5", model.save_weights),
  ):
    path, part = (os.path.join(workdir, p + name) for p in ("", ".part."))
    try:
      save(part)
    except (NotImplementedError, TypeError, ValueError) as error:
      reason = str(error).strip().splitlines()[0]
      print(f"warning: {name} not saved: {reason}")
      if os.path.exists(part):
        os.remove(part)
      continue
    os.replace(part, path)
    return path
  return "no model"
