"""Modules of trainloop that need no TensorFlow, without their package.

`import trainloop` takes seconds, and flags are checked and errors shown before.
"""

import importlib.util
import os
import sys


def _load(name):
  """The module `trainloop.name`; the package finds it there later."""
  full = f"trainloop.{name}"
  if full in sys.modules:
    return sys.modules[full]
  package = importlib.util.find_spec("trainloop")  # looks, and runs nothing
  if package is None:
    sys.exit("error: trainloop is not installed: pip install -e CHECKOUT")
  path = os.path.join(package.submodule_search_locations[0], *name.split("."))
  spec = importlib.util.spec_from_file_location(full, f"{path}.py")
  module = sys.modules[full] = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


output = _load("base.output")
strict_json = _load("base.strict_json")
