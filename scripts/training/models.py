"""Keras models for the scripts, sized by flags."""

import importlib
import os
import sys

import keras

from kernels import callables
from training import datasets

NAMES = ("mlp", "cnn", "embedding_bag")


def maker(name, data, hidden, filters, dropout, num_words, embedding_dim):
  """A callable that makes the model, for `TrainLoop`.

  Args:
    name: one of `NAMES`, or "package.module:function" for a function that
      takes (input_shape, outputs) and returns a keras.Model.
    data: a `datasets.Data`.
    hidden: units of each hidden dense layer.
    filters: filters of each 3x3 convolution of "cnn".
    dropout: rate in [0, 1) before the last layer.
    num_words: rows of the embedding table.
    embedding_dim: its columns.

  Returns:
    A callable without arguments.

  Raises:
    DataError: if the function can't be found, or the data does not fit.
  """
  shape = data.x_train.shape[1:]

  def last():  # inside the callable: a layer draws its seed when it is made
    return _last(data)

  if name == "mlp":
    return lambda: _mlp(data, hidden, dropout, last)
  if name == "cnn":
    if len(shape) not in (2, 3):
      raise datasets.DataError(
        f"--model=cnn needs images; examples are {shape}"
      )
    if min(shape[:2]) < 2 * len(filters) + 2:
      text = f"--model=cnn: {shape} is too small for {len(filters)} filters"
      raise datasets.DataError(text)
    return lambda: _cnn(shape, filters, hidden, dropout, last)
  if name == "embedding_bag":
    if len(shape) != 1 or data.x_train.dtype.kind not in "iu":
      kind = f"{data.x_train.dtype} {shape}"
      raise datasets.DataError(
        f"--model={name} needs word numbers; examples are {kind}"
      )
    return lambda: _embedding_bag(
      shape, num_words, embedding_dim, dropout, last
    )
  return lambda: _own(name, data)


def _last(data):
  if data.task == "regression":
    return keras.layers.Dense(data.outputs)
  activation = "sigmoid" if data.outputs == 1 else "softmax"
  return keras.layers.Dense(data.outputs, activation=activation)


def _mlp(data, hidden, dropout, last):
  shape = data.x_train.shape[1:]
  layers = [keras.layers.Input(shape), *datasets.first_layers(data)]
  if len(shape) > 1:
    layers.append(keras.layers.Flatten())
  layers += [keras.layers.Dense(n, activation="relu") for n in hidden]
  return keras.Sequential([*layers, *_dropout(dropout), last()])


def _cnn(shape, filters, hidden, dropout, last):
  layers = [keras.layers.Input(shape)]
  if len(shape) == 2:
    layers.append(keras.layers.Reshape((*shape, 1)))
  for count in filters:
    layers.append(keras.layers.Conv2D(count, 3, activation="relu"))
  layers += [keras.layers.MaxPooling2D(), *_dropout(dropout / 2)]
  layers.append(keras.layers.Flatten())
  layers += [keras.layers.Dense(n, activation="relu") for n in hidden]
  return keras.Sequential([*layers, *_dropout(dropout), last()])


def _embedding_bag(shape, num_words, dim, dropout, last):
  return keras.Sequential(
    [
      keras.layers.Input(shape, dtype="int32"),
      keras.layers.Embedding(num_words, dim),
      keras.layers.GlobalAveragePooling1D(),
      *_dropout(dropout),
      last(),
    ]
  )


def _dropout(rate):
  return [keras.layers.Dropout(rate)] if rate else []


def _own(name, data):
  """The model that a user's function makes, or one line that says why not.

  On a table with words it is given them as numbers.
  """
  shape = data.x_train.shape[1:]
  has_words = data.table is not None and data.table.words
  first = datasets.first_layers(data) if has_words else []
  inside = first[0].output.shape[1:] if first else shape
  module, _, function = name.partition(":")
  sys.path.insert(0, os.getcwd())
  try:
    make = getattr(importlib.import_module(module), function)
    made = make(inside, data.outputs)
  except Exception as error:  # whatever a user's module may raise
    reason = f"{type(error).__name__}: {callables.reason(error)}"
    text = f"--model={name} cannot be made ({reason})"
    raise datasets.DataError(text) from error
  if not isinstance(made, keras.Model):
    kind = type(made).__name__
    raise datasets.DataError(f"--model={name} gave a {kind}, no keras.Model")
  if first:
    return keras.Sequential([keras.layers.Input(shape), *first, made])
  return made
