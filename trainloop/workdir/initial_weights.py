"""Weights that a run begins with: of a model, a file, or another run."""

import json
import os
import warnings
import zlib

import keras
import numpy as np
import tensorflow as tf

from kernels import checks
from trainloop.model import variable_names
from trainloop.workdir import run_names
from trainloop.workdir.checkpoints.files import CheckpointFiles, reason

_RULE = "a keras.Model, a .keras or .weights.h5 file, or the workdir of a run"


class InitialWeights:
  """Puts weights into a model by their names, before its first update.

  Args:
    source: a built keras.Model, or the path of a .keras file, of a .weights.h5
      file, or of a workdir, whose newest checkpoint is read.

  Raises:
    ValueError: if it is something else, or is not there.

  Attributes:
    crc32: over all names and values that were put; None before.
  """

  def __init__(self, source):
    if not isinstance(source, (keras.Model, str, os.PathLike)):
      checks.fail("initial_weights", type(source).__name__, _RULE)
    self._source, self.crc32 = source, None
    if isinstance(source, keras.Model):
      return
    path = os.fspath(source)
    kinds = path.endswith((".keras", ".weights.h5"))
    if not os.path.exists(path) or kinds == os.path.isdir(path):
      checks.fail("initial_weights", path, f"{_RULE}, which is there")

  def put(self, model):
    """Sets all weights of a model.

    Args:
      model: the built keras.Model.

    Raises:
      ValueError: naming the first weight that is missing, left over, or of
        another shape.
    """
    names = variable_names.of_weights(model)
    if str(self._source).endswith(".weights.h5"):
      self._load(model)
    else:
      self._set(dict(zip(names, model.variables, strict=True)))
    self.crc32 = 0
    for name, variable in zip(names, model.variables, strict=True):
      content = name.encode() + variable.numpy().tobytes()
      self.crc32 = zlib.crc32(content, self.crc32)

  def _set(self, variables):
    values = self._values()
    for name, variable in variables.items():
      if name not in values:
        self._refuse(f"{name} is missing")
      if tuple(values[name].shape) != tuple(variable.shape):
        shapes = f"{tuple(values[name].shape)} and not {tuple(variable.shape)}"
        self._refuse(f"{name} is {shapes}")
    for name in values:
      if name not in variables:
        self._refuse(f"{name} is in no layer of it")
    for name, variable in variables.items():
      variable.assign(values[name])

  def _load(self, model):
    # Keras would load the optimizer that the file has, too, or warn of it.
    optimizer = getattr(model, "optimizer", None)
    own = [(v, v.numpy()) for v in optimizer.variables] if optimizer else []
    try:
      with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.load_weights(self._source)
    except Exception as error:  # Keras raises many kinds
      self._refuse(reason(error))
    finally:
      for variable, value in own:
        variable.assign(value)

  def _values(self):
    """{name: array} of the source's weights."""
    source = self._source
    if isinstance(source, keras.Model):
      return _of_model(source)
    if not os.path.isdir(source):
      try:
        return _of_model(keras.saving.load_model(source, compile=False))
      except Exception as error:  # Keras raises many kinds
        self._refuse(reason(error))
    return _of_run(os.fspath(source))

  def _refuse(self, why):
    rule = f"weights of this model ({why})"
    shown = self._source
    if isinstance(shown, keras.Model):
      shown = f"model {shown.name}"
    checks.fail("initial_weights", str(shown), rule)


def _of_model(model):
  names = variable_names.of_weights(model)
  return {
    name: variable.numpy()
    for name, variable in zip(names, model.variables, strict=True)
  }


def _of_run(workdir):
  """{name: array} of the model in a workdir's newest whole checkpoint."""
  files = CheckpointFiles(os.path.join(workdir, run_names.CHECKPOINTS), 1)
  failures = []
  for serial in reversed(files.serials()):
    try:
      text = files.read(serial, {"log": tf.string})["log"].numpy()
      shapes = json.loads(text)["shapes"]["model"]
      dtypes = {f"model/{name}": tf.as_dtype(kind) for name, kind, *_ in shapes}
      tensors = files.read(serial, dtypes)
    except Exception as error:  # damage has many kinds
      failures.append(reason(error))
      continue
    return {
      name.removeprefix("model/"): np.asarray(value)
      for name, value in tensors.items()
    }
  rule = f"a workdir with a checkpoint that can be read {failures or ''}"
  return checks.fail("initial_weights", workdir, rule.strip())
