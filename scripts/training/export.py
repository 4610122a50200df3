"""What a run leaves for others: the model, without this library in it."""

from cli.light import output

KINDS = ("keras", "saved_model", "both", "none")


def write(folder, model, kind):
  """Writes a model; each file or folder is complete or not there at all.

  Args:
    folder: where to.
    model: a keras.Model.
    kind: "keras": model.keras, for `keras.models.load_model`, or its weights
      alone if it can't be described. "saved_model": the folder saved_model,
      for `tf.saved_model.load` and TensorFlow Serving. "both" or "none".

  Returns:
    Names of what was written.
  """
  names = []
  if kind in ("keras", "both"):
    names += _first_of(
      folder,
      {"model.keras": model.save, "model.weights.h5": model.save_weights},
    )
  if kind in ("saved_model", "both"):
    names += _first_of(
      folder,
      {"saved_model": lambda path: model.export(path, verbose=False)},
    )
  return names


def check(folder, kind):
  """Refuses, before there is a model, what `write` would refuse."""
  from trainloop.workdir import run_files, run_names

  names = {
    "keras": (run_names.MODEL, run_names.WEIGHTS),
    "saved_model": (run_names.SAVED_MODEL,),
    "none": (),
  }
  names["both"] = names["keras"] + names["saved_model"]
  for name in names[kind]:
    run_files.check_result(folder, name)


def _first_of(folder, ways):
  """The name of the first of {name: function of a path} that works, if any."""
  # Imported here: flags name the KINDS, and TensorFlow takes 4 s.
  import tensorflow as tf

  from kernels import checks
  from trainloop.workdir import run_files

  for name, save in ways.items():
    try:
      with run_files.result(folder, name) as part:
        save(part)
    except checks.ArgumentError:
      raise
    except (tf.errors.OpError, MemoryError) as error:
      # A full disk is an OSError of Python's but not of TensorFlow's writers.
      reason = (str(error).strip() or "out of memory").splitlines()[0]
      raise OSError(f"{name} not saved: {reason}") from error
    except (NotImplementedError, TypeError, ValueError) as error:
      reason = str(error).strip().splitlines()[0]
      output.line(f"warning: {name} not saved: {reason}")
      continue
    return [name]
  return []
