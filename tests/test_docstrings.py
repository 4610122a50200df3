"""What the public docstrings say: whole, and their examples hold."""

import doctest
import importlib
import inspect
import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernels
import trainloop

GLOBALS = {
  "keras": keras,
  "kernels": kernels,
  "np": np,
  "tf": tf,
  "trainloop": trainloop,
}
PUBLIC = [
  (f"{module.__name__}.{name}", getattr(module, name))
  for module, names in (
    (kernels, kernels.__all__),
    (trainloop, trainloop.__all__),
    (
      trainloop.recipes,
      trainloop.recipes.__all__,
    ),
  )
  for name in names
  if callable(getattr(module, name)) and not name.endswith("PeerError")
]
MODULES = [
  f"{package.__name__}.{path.stem}"
  for package in (kernels, trainloop, trainloop.recipes)
  for path in sorted(pathlib.Path(package.__file__).parent.glob("*.py"))
  if ">>> " in path.read_text()
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_hold(name):
  module = importlib.import_module(name)
  failed, tried = doctest.testmod(
    module,
    extraglobs=GLOBALS,
    optionflags=doctest.NORMALIZE_WHITESPACE
    | doctest.IGNORE_EXCEPTION_DETAIL
    | doctest.REPORT_NDIFF,
  )
  assert tried and not failed


def test_every_schedule_has_an_example():
  kinds = [
    kind
    for _, kind in PUBLIC
    if inspect.isclass(kind) and issubclass(kind, kernels.Schedule)
  ]
  assert len(kinds) >= 15
  for kind in kinds:
    assert kind is kernels.Schedule or ">>> " in kind.__doc__, kind


@pytest.mark.parametrize(("name", "value"), PUBLIC, ids=[n for n, _ in PUBLIC])
def test_every_argument_is_described(name, value):
  text = inspect.getdoc(value)
  arguments = [
    argument.name
    for argument in inspect.signature(value).parameters.values()
    if argument.kind is not argument.VAR_KEYWORD and argument.name != "args"
  ]
  assert not arguments or re.search("^(Args|Attributes):$", text, re.MULTILINE)
  for argument in arguments:
    assert re.search(rf"\b{argument}\b", text), argument
  if inspect.isfunction(value):
    assert "Returns:" in text, name
