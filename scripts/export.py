"""What a run leaves for others: the model, without this library in it."""

import os
import shutil

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
  found = []
  if kind in ("keras", "both"):
    found += _first_of(
      folder,
      {"model.keras": model.save, "model.weights.h5": model.save_weights},
    )
  if kind in ("saved_model", "both"):
    found += _first_of(
      folder,
      {"saved_model": lambda path: model.export(path, verbose=False)},
    )
  return found


def _first_of(folder, ways):
  """The name of the first of {name: function of a path} that works, if any."""
  for name, save in ways.items():
    path, part = (os.path.join(folder, p + name) for p in ("", ".part."))
    try:
      save(part)
    except (NotImplementedError, TypeError, ValueError) as error:
      reason = str(error).strip().splitlines()[0]
      print(f"warning: {name} not saved: {reason}")
      _remove(part)
      continue
    if os.path.isdir(path):  # a folder is not replaced by another
      _remove(path)
    os.replace(part, path)
    return [name]
  return []


def _remove(path):
  if os.path.isdir(path):
    shutil.rmtree(path)
  elif os.path.exists(path):
    os.remove(path)
