"""Weights that a run begins with: of a model, a file, or another run."""

import dataclasses
import json
import os
import re
import typing
import warnings
import zipfile
import zlib

import h5py
import keras
import numpy as np
import tensorflow as tf

from kernels import checks
from trainloop.model import groups, variable_names
from trainloop.workdir import run_names
from trainloop.workdir.checkpoints.files import CheckpointFiles, reason

_KERAS, _H5 = ".keras", ".weights.h5"
_RULE = "a keras.Model, a .keras or .weights.h5 file, or the workdir of a run"
_READABLE = "a file that can be read as weights, as `model.save` leaves it"
_FITTING = "weights of this model"


@dataclasses.dataclass(frozen=True)
class InitialWeights:
  """Weights that a model has before its first update, put in by their names.

  Attributes:
    source: a built keras.Model, or the path of a .keras file, of a .weights.h5
      file, or of a workdir, whose newest checkpoint is read.
    only: regular expression of the names of those that are put, as
      r"(?!head/).*" for all but a head; None for all. Names are those of a
      checkpoint, "block/dense/kernel", which a .weights.h5 file has not.

  Raises:
    ValueError: if the source is something else, is not there, or can't be read.
  """

  source: typing.Any
  only: str | None = None

  def __post_init__(self):
    source = self.source
    if self.only is not None:
      groups.check_pattern("only", self.only)
      if str(source).endswith(_H5):
        rule = "None with a .weights.h5 file, which names no layers: a .keras "
        checks.fail("only", self.only, f"{rule}file, or a workdir, does")
    if isinstance(source, keras.Model):
      return
    if not isinstance(source, (str, os.PathLike)):
      checks.fail("initial_weights", type(source).__name__, _RULE)
    path = os.fspath(source)
    is_file = path.endswith((_KERAS, _H5))
    if not os.path.exists(path) or is_file == os.path.isdir(path):
      checks.fail("initial_weights", path, f"{_RULE}, which is there")
    whole = h5py.is_hdf5 if path.endswith(_H5) else zipfile.is_zipfile
    if is_file and not whole(path):
      checks.fail("initial_weights", path, _READABLE)

  @property
  def text(self):
    """What it is, for messages."""
    if isinstance(self.source, keras.Model):
      return f"model {self.source.name}"
    return os.fspath(self.source)


class FirstWeights:
  """Puts an `InitialWeights` into a model.

  Args:
    options: the `InitialWeights`.

  Attributes:
    identity: checksum of all names and values that were put, and where they
      are from; None before.
  """

  def __init__(self, options):
    self._options, self.identity = options, None

  def put(self, model):
    """Sets weights of a model.

    Args:
      model: the built keras.Model.

    Raises:
      ValueError: naming the first weight that is missing, left over, or of
        another shape.
    """
    names = variable_names.of_weights(model)
    variables = self._chosen(dict(zip(names, model.variables, strict=True)))
    if not variables:
      rule = f"a pattern of weights, as {', '.join(names[:8])}"
      checks.fail("only", self._options.only, rule)
    if str(self._options.source).endswith(_H5):
      self._load(model)
    else:
      self._set(variables)
    crc32 = 0
    for name, variable in variables.items():
      if (variable.numpy() != variable.numpy()).any():  # NaN alone is not
        self._refuse(f"{name} is NaN in it")
      crc32 = zlib.crc32(name.encode() + variable.numpy().tobytes(), crc32)
    self.identity = f"{crc32:08x} of {self._options.text}"

  def _chosen(self, named):
    """The entries of a dict whose names `only` matches."""
    only = self._options.only
    every = only is None
    return {n: v for n, v in named.items() if every or re.fullmatch(only, n)}

  def _set(self, variables):
    values = self._chosen(self._values())
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
        model.load_weights(self._options.source)
    except OSError as error:
      self._refuse(reason(error), _READABLE)
    except Exception as error:  # Keras raises many kinds
      layers = re.findall(r"<\w+ name=([\w/.-]+),", str(error))
      layers = ", ".join(dict.fromkeys(layers))
      shapes = f"no such shapes are in it for {layers}"
      self._refuse(shapes if layers else reason(error))
    finally:
      for variable, value in own:
        variable.assign(value)

  def _values(self):
    """{name: array} of the source's weights."""
    source = self._options.source
    if isinstance(source, keras.Model):
      return _of_model(source)
    if not os.path.isdir(source):
      try:
        return _of_model(keras.saving.load_model(source, compile=False))
      except Exception as error:  # Keras raises many kinds
        self._refuse(reason(error), _READABLE)
    return _of_run(os.fspath(source))

  def _refuse(self, why, rule=_FITTING):
    checks.fail("initial_weights", self._options.text, f"{rule} ({why})")


def first(given):
  """The `FirstWeights` of the argument `initial_weights`; None for None."""
  if given is None:
    return None
  own = isinstance(given, InitialWeights)
  return FirstWeights(given if own else InitialWeights(given))


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
